"""Planted: no-bulkhead. Six workers serve everything; a slow dependency holds them all, and /healthz waits."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.45, attempts=2, page_time=0.9, breaker=Breaker(open_for=1.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page, workers=6)
