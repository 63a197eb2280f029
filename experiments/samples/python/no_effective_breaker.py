"""Planted: no-effective-breaker. A breaker made for each page has seen nothing when it is asked."""

from resilient_client import Breaker, Client, Failed, RetryBudget
from web import fallback, primary, serve, up_url

budget = RetryBudget()


def page(request):
    client = Client(up_url(), attempt_timeout=0.25, attempts=3, page_time=0.8, budget=budget, breaker=Breaker())
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
