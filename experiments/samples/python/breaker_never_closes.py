"""Planted: breaker-never-closes. After a good probe the breaker still thinks that one is on its way."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class StuckBreaker(Breaker):
    def probed(self, ok):
        if ok is False:
            self.open()


client = Client(up_url(), attempt_timeout=0.25, attempts=3, page_time=0.8, breaker=StuckBreaker(open_for=1.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
