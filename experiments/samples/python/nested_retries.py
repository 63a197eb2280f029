"""Planted: nested-retries. The page repeats a call that the client repeats already: 3 x 3 requests."""

import random
import time

from resilient_client import Breaker, Client, Failed, RetryBudget
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.3, attempts=3, page_time=1.2, backoff=0.06, budget=RetryBudget(tokens=30), breaker=Breaker(open_for=3.0))


def items_at_last():
    for n in range(1, 4):
        try:
            return client.items()
        except Failed as failure:
            if n == 3 or not client.retryable("GET", failure):
                raise
        time.sleep(random.uniform(0.2, 0.35) * n)


def page(request):
    try:
        return primary(items_at_last())
    except Failed:
        return fallback()


serve(page)
