"""Planted: slow-fallback. Timeouts do not open the breaker, so every page of a hang pays the whole timeout first."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def counts_as_failure(self, failure):
        return failure.kind != "timeout" and super().counts_as_failure(failure)


client = CatalogueClient(up_url(), attempt_timeout=0.5, attempts=2, page_time=1.6, places=40, breaker=Breaker(open_for=2.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
