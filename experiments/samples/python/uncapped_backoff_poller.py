"""Planted: uncapped-backoff. A refresher doubles its pause with every failure, without an upper bound."""

import random
import threading
import time

from resilient_client import Client, Failed, NoBreaker
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.4, attempts=1, page_time=0.4, breaker=NoBreaker())
newest = {"items": None, "at": 0.0}


def refresh():
    failures = 0
    while True:
        try:
            newest.update(items=client.items(), at=time.monotonic())
            failures = 0
        except Failed:
            failures += 1
        time.sleep(0.25 * 2**failures * random.uniform(0.9, 1.1))


def page(request):
    if newest["items"] is None or time.monotonic() - newest["at"] > 2:
        return fallback(newest["items"])
    return primary(newest["items"])


threading.Thread(target=refresh, daemon=True).start()
serve(page)
