"""Planted: per-read-timeout. The socket's timeout starts anew with every byte that arrives."""

import http.client

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    connection_class = http.client.HTTPConnection

    def arm(self, connection, seconds):
        connection.timeout = seconds
        if connection.sock:
            connection.sock.settimeout(seconds)


client = CatalogueClient(up_url(), attempt_timeout=0.3, attempts=2, page_time=0.8, breaker=Breaker(open_for=1.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
