"""Healthy: items are kept for a second; one page at a time fetches them anew, the others show the old ones meanwhile."""

import threading
import time

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

FRESH, AGING, STALE = 1.0, 3.0, 20.0  # seconds: as new; shown as it is while it is fetched anew; shown as degraded
client = Client(up_url(), attempt_timeout=0.2, attempts=2, page_time=0.6, breaker=Breaker(window=10, least=4, open_for=1.5))
cached = {"items": None, "at": 0.0}
fetching = threading.Lock()


def page(request):
    age = time.monotonic() - cached["at"]
    if cached["items"] and age < FRESH:
        return primary(cached["items"])
    if not fetching.acquire(blocking=cached["items"] is None, timeout=0.6 if cached["items"] is None else -1):
        return primary(cached["items"]) if age < AGING else fallback(cached["items"])
    try:
        cached.update(items=client.items(), at=time.monotonic())
        return primary(cached["items"])
    except Failed:
        return fallback(cached["items"] if age < STALE else None)
    finally:
        fetching.release()


serve(page)
