"""Planted: reset-surfaced. A kept connection that the dependency reset becomes an error page; a new one would have worked."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def retryable(self, method, failure):
        return failure.kind != "connection" and super().retryable(method, failure)


client = CatalogueClient(up_url(), attempt_timeout=0.25, attempts=3, page_time=0.8, breaker=Breaker(open_for=1.0))


def page(request):
    try:
        return primary(client.items())
    except Failed as failure:
        if failure.kind == "connection":
            raise
        return fallback()


serve(page)
