"""Healthy: attempt timeout, retries with a budget, breaker and a static fallback; an order is sent once."""

import json

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.25, attempts=3, page_time=0.8, breaker=Breaker(open_for=1.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


def order(request):
    try:
        return 201, {}, client.call("POST", "/orders", body=json.dumps({"item": 7}), headers={"content-type": "application/json"})
    except Failed as failure:
        return 503, {"retry-after": "1"}, {"error": str(failure)}


serve(page, order)
