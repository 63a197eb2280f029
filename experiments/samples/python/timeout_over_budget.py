"""Planted: timeout-over-budget. One attempt may take 3 s; the page has 0.8 s."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=3.0, attempts=1, page_time=3.0, places=60, breaker=Breaker(window=10, least=5, open_for=1.2))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
