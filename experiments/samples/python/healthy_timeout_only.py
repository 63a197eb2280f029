"""Healthy: one attempt with a timeout and a static fallback; a page makes one call, so nothing more is needed."""

from resilient_client import Client, Failed, NoBreaker
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.3, attempts=1, page_time=0.3, places=40, breaker=NoBreaker())


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
