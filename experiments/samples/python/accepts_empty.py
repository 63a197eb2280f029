"""Planted: accepts-corrupt. Damaged JSON is refused, but an object without items counts as an empty shop."""

import json

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class LenientClient(Client):
    def parse(self, payload):
        document = json.loads(payload)
        items = document.get("items") if isinstance(document, dict) else None
        return {"items": items if isinstance(items, list) else []}


client = LenientClient(up_url(), attempt_timeout=0.9, attempts=2, page_time=1.7, breaker=Breaker(open_for=2.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
