"""Planted: pool-leak. A place in the pool is not given back after a reset; eight resets later there is none."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def drop(self, connection, error):
        if isinstance(error, ConnectionError):
            connection.close()
        else:
            super().drop(connection, error)


client = CatalogueClient(up_url(), attempt_timeout=0.25, attempts=2, page_time=0.7, places=8, breaker=Breaker(open_for=0.9))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
