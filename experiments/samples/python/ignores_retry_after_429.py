"""Planted: ignores-retry-after. A 503 with Retry-After is left alone; a 429 is asked again at once, whatever it says."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def retryable(self, method, failure):
        return (method == "GET" and failure.status == 429) or super().retryable(method, failure)


client = CatalogueClient(up_url(), attempt_timeout=0.35, attempts=3, page_time=1.6, backoff=0.1, breaker=Breaker(open_for=1.2))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
