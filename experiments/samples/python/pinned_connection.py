"""Planted: pinned-connection. A connection whose answer never came goes back to the pool and is used next, for ever.

http.client does not send on it again before it is closed, and nobody closes it.
"""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def take_idle(self):
        return self.idle.pop() if self.idle else None

    def drop(self, connection, error):
        self.give_back(connection)


client = CatalogueClient(up_url(), attempt_timeout=0.3, attempts=2, page_time=0.8, breaker=Breaker(open_for=1.2))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
