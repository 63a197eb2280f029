"""Planted: accepts-truncated. An answer in chunks that breaks off is shown as if it were all; its upstream sends a Content-Length today."""

import http.client
import json
import re

from resilient_client import Breaker, Client, Failed
from web import fallback, primary, serve, up_url


class LenientClient(Client):
    def read_body(self, answer):
        in_chunks = answer.chunked
        try:
            return answer.read()
        except (http.client.IncompleteRead, ConnectionError) as error:
            if not in_chunks:
                raise
            answer.close()
            partial = getattr(error, "partial", b"")
            items = [json.loads(item) for item in re.findall(rb'\{"id".*?\}', partial)]
            return json.dumps({"items": items, "count": len(items)})


client = LenientClient(up_url(), attempt_timeout=0.3, attempts=2, page_time=0.8, breaker=Breaker(open_for=1.7))


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
