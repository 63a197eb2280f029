"""Planted: fallback-same-dependency. The fallback asks the host that has just failed, so both fail together."""

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url

client = Client(up_url(), attempt_timeout=0.25, attempts=2, page_time=0.55, breaker=Breaker(open_for=1.5))
bestsellers = Client(up_url(), attempt_timeout=0.25, attempts=1, page_time=0.25, breaker=Breaker(open_for=1.5))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        pass
    try:
        return fallback(bestsellers.items("/popular"))
    except Failed as failure:
        return 503, {"retry-after": "2"}, {"error": str(failure)}


serve(page)
