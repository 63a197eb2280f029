"""requests with urllib3's Retry, as many services have it. Planted: the first retry comes at once, Retry-After is slept
through inside the page, a timeout holds for each read alone, retries have no budget, and there is no breaker."""

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from web import fallback, primary, serve, up_url

retry = Retry(total=2, backoff_factor=0.1, backoff_jitter=0.1, status_forcelist=[500, 502, 503, 504])
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=retry, pool_maxsize=64))


def fetch_items():
    answer = session.get(f"{up_url()}/items", timeout=(0.2, 0.5))
    answer.raise_for_status()
    document = answer.json()
    items = document["items"]
    if len(items) != document["count"] or not all(isinstance(item["id"], int) for item in items):
        raise ValueError("not the whole list")
    return items


def page(request):
    try:
        return primary(fetch_items())
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return fallback()


serve(page)
