"""Planted: connect-timeout-only. Once connected, the answer is waited for without an end."""

import http.client

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueConnection(http.client.HTTPConnection):
    def connect(self):
        super().connect()
        self.sock.settimeout(None)


class CatalogueClient(Client):
    connection_class = CatalogueConnection

    def arm(self, connection, seconds):
        connection.timeout = seconds


client = CatalogueClient(up_url(), attempt_timeout=0.3, attempts=2, page_time=0.9, places=200, breaker=Breaker(open_for=2.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
