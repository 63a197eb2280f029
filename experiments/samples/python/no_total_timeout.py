"""Planted: no-total-timeout. Each of five attempts is short enough, all of them together are not."""

import math

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.35, attempts=5, page_time=math.inf, backoff=0.06, breaker=Breaker(open_for=1.4))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
