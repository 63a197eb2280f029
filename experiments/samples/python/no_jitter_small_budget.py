"""Planted: no-jitter. All callers that failed together come back together; one call in twenty earns a retry."""

from resilient_client import Breaker, Client, Failed, RetryBudget
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def pause(self, n, failure):
        return 0.06 * 2 ** (n - 1)


client = CatalogueClient(
    up_url(), attempt_timeout=0.2, attempts=2, page_time=0.8, budget=RetryBudget(tokens=2, ratio=0.05), breaker=Breaker(open_for=1.2)
)


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
