"""Healthy: an order is sent again, but under one idempotency key, so that it is made once."""

import json
import uuid

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class ShopClient(Client):
    def retryable(self, method, failure):
        return super().retryable("GET", failure)


client = ShopClient(up_url(), attempt_timeout=0.4, attempts=3, page_time=1.7, backoff=0.15, breaker=Breaker(open_for=2.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


def order(request):
    headers = {"content-type": "application/json", "idempotency-key": str(uuid.uuid4())}
    try:
        return 201, {}, client.call("POST", "/orders", body=json.dumps({"item": 7}), headers=headers)
    except Failed as failure:
        return 503, {"retry-after": "1"}, {"error": str(failure)}


serve(page, order)
