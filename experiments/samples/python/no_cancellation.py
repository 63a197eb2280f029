"""Planted: no-cancellation. The page stops waiting for the worker, and the worker goes on with its attempts."""

import concurrent.futures
import math

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.4, attempts=5, page_time=math.inf, backoff=0.25, places=40, breaker=Breaker(open_for=1.5))
workers = concurrent.futures.ThreadPoolExecutor(60)


def page(request):
    try:
        return primary(workers.submit(client.items).result(timeout=0.55))
    except (Failed, concurrent.futures.TimeoutError):
        return fallback()


serve(page)
