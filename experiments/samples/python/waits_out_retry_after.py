"""Planted: waits-out-retry-after. The page sleeps for as long as Retry-After says, whoever waits for the page."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class ObedientClient(Client):
    def told_to_wait(self, failure):
        return False

    def pause(self, n, failure):
        return failure.retry_after if failure.retry_after else super().pause(n, failure)


# Three attempts and their pauses end within 0.8 s of the page's 1 s by themselves.
client = ObedientClient(up_url(), attempt_timeout=0.2, attempts=3, page_time=30, breaker=Breaker(open_for=1.6))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
