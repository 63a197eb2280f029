"""Planted: half-open-stampede. After the waiting time the breaker lets everybody try until the first answer is there."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class OpenDoor(Breaker):
    def enter(self):
        self.probing = False
        return super().enter()


client = Client(up_url(), attempt_timeout=0.4, attempts=2, page_time=0.9, places=60, breaker=OpenDoor(open_for=1.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
