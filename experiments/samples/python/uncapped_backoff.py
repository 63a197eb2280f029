"""Planted: uncapped-backoff. The time the breaker stays open doubles with every failed probe, without an upper bound."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class DoublingBreaker(Breaker):
    trips = 0

    def hold(self):
        return 0.1 * 2**self.trips

    def open(self):
        super().open()
        self.trips += 1

    def close(self):
        super().close()
        self.trips = 0


client = Client(up_url(), attempt_timeout=0.25, attempts=2, page_time=0.8, breaker=DoublingBreaker())


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
