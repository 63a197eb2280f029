"""Planted: no-jitter. All callers that failed together come back together."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def pause(self, n, failure):
        return 0.1 * 2 ** (n - 1)


client = CatalogueClient(up_url(), attempt_timeout=0.5, attempts=3, page_time=1.8, breaker=Breaker(open_for=0.8))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
