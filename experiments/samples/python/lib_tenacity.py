"""tenacity around the client. Planted: no-jitter, because `min` of wait_random_exponential cuts the random part off."""

from tenacity import retry, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.2, attempts=1, page_time=0.2, breaker=Breaker(open_for=1.5))


@retry(
    stop=stop_after_attempt(3) | stop_after_delay(0.5),
    wait=wait_random_exponential(multiplier=0.02, min=0.1, max=1),
    retry=retry_if_exception(lambda failure: client.retryable("GET", failure) and client.budget.spend()),
    reraise=True,
)
def items():
    return client.items()


def page(request):
    try:
        return primary(items())
    except Failed:
        return fallback()


serve(page)
