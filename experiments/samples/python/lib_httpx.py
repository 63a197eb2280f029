"""httpx with one attempt and a static fallback. Planted: per-read-timeout, because httpx's timeout holds for each read alone."""

import httpx

from web import fallback, primary, serve, up_url

client = httpx.Client(base_url=up_url(), timeout=0.4)


def fetch_items():
    document = client.get("/items").raise_for_status().json()
    items = document["items"]
    if len(items) != document["count"] or not all(isinstance(item["id"], int) for item in items):
        raise ValueError("not the whole list")
    return items


def page(request):
    try:
        return primary(fetch_items())
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return fallback()


serve(page)
