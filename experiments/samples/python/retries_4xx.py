"""Planted: retries-4xx. A 404 is asked for again, though the answer cannot change."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def retryable(self, method, failure):
        return method == "GET" and failure.kind not in ("open", "busy") and not self.told_to_wait(failure)


client = CatalogueClient(up_url(), attempt_timeout=0.4, attempts=3, page_time=1.6, backoff=0.12, breaker=Breaker(open_for=2.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
