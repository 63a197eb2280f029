"""Planted: no-backoff-growth. The fourth pause is as short as the first."""

import random

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def pause(self, n, failure):
        return random.uniform(0.05, 0.12)


client = CatalogueClient(up_url(), attempt_timeout=0.2, attempts=5, page_time=1.8, breaker=Breaker(window=30, least=20, open_for=2.0))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
