"""Planted: serialised. One lock is held during the whole call, so that the dependency is asked by one page at a time."""

import threading
import time

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class LockedClient(Client):
    lock = threading.Lock()

    def attempt(self, method, path, body, headers, ends):
        # Waits only for as long as a whole attempt still fits before the deadline.
        if not self.lock.acquire(timeout=max(0, ends - time.monotonic() - self.attempt_timeout)):
            raise Failed("busy")
        try:
            return super().attempt(method, path, body, headers, ends)
        finally:
            self.lock.release()


client = LockedClient(up_url(), attempt_timeout=0.3, attempts=2, page_time=0.8, breaker=Breaker(window=12, least=6, open_for=1.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
