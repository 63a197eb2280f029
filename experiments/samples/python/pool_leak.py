"""Planted: pool-leak. A place in the pool is not given back after a reset; ten resets later there is none."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def exchange(self, *request):
        try:
            return super().exchange(*request)
        except Failed as failure:
            if failure.kind == "connection":
                self.places.acquire(blocking=False)  # stands for the release that a hand-made pool forgets on this path
            raise


client = CatalogueClient(up_url(), attempt_timeout=0.25, attempts=2, page_time=0.7, places=10, breaker=Breaker(open_for=0.9))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
