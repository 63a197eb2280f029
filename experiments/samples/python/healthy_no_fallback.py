"""Healthy: has nothing to fall back on, and says so at once with 503 and Retry-After."""

from resilient_client import Breaker, Client, Failed
from web import primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.2, attempts=3, page_time=0.7, backoff=0.05, breaker=Breaker(share=0.7, window=30, open_for=1.0))


def page(request):
    try:
        return primary(client.items())
    except Failed as failure:
        return 503, {"retry-after": "1"}, {"error": str(failure)}


serve(page)
