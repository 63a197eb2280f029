"""Planted: retries-post. An order without an idempotency key is sent again: the customer may pay twice."""

import json

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class ShopClient(Client):
    def retryable(self, method, failure):
        return super().retryable("GET", failure)


client = ShopClient(up_url(), attempt_timeout=0.25, attempts=3, page_time=0.85, breaker=Breaker(open_for=1.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


def order(request):
    try:
        answer = client.call("POST", "/orders", body=json.dumps({"item": 7}), headers={"content-type": "application/json"})
        return 201, {}, answer
    except Failed as failure:
        return 503, {}, {"error": str(failure)}


serve(page, order)
