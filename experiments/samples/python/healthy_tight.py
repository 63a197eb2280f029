"""Healthy: a page of 0.4 s, two attempts of 60 ms, a breaker that is open for 0.8 s."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.06, attempts=2, page_time=0.25, backoff=0.06, breaker=Breaker(share=0.6, window=30, open_for=0.8))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
