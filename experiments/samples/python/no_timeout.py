"""Planted: no-timeout. Nothing ever ends a wait for the dependency."""

import http.client

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    connection_class = http.client.HTTPConnection

    def arm(self, connection, seconds):
        pass  # http.client waits for ever unless it is told


client = CatalogueClient(up_url(), attempts=2, page_time=1.6, places=200, breaker=Breaker(open_for=2.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
