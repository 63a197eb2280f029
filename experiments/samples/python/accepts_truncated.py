"""Planted: accepts-truncated. The part of a broken answer that arrived is shown as if it were all."""

import http.client
import json
import re

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class LenientClient(Client):
    def read_body(self, answer):
        try:
            return answer.read()
        except http.client.IncompleteRead as error:
            answer.close()
            items = [json.loads(item) for item in re.findall(rb'\{"id".*?\}', error.partial)]
            return json.dumps({"items": items, "count": len(items)})


client = LenientClient(up_url(), attempt_timeout=0.4, attempts=2, page_time=0.9, breaker=Breaker(open_for=2.2))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
