"""Planted: pool-leak. Who gets an error answer does not read its body, and keeps its place; a dozen answers later there is none."""

from resilient_client import Client, Failed, NoBreaker, seconds_of
from web import fallback, primary, serve, up_url


class CatalogueClient(Client):
    def roundtrip(self, connection, method, path, body, headers):
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        if answer.status >= 500:
            raise Failed("status", status=answer.status, retry_after=seconds_of(answer.getheader("retry-after")))
        return answer.status, seconds_of(answer.getheader("retry-after")), self.read_body(answer)

    def drop(self, connection, error):
        if not isinstance(error, Failed):
            super().drop(connection, error)


client = CatalogueClient(up_url(), attempt_timeout=0.35, attempts=1, page_time=0.35, places=12, breaker=NoBreaker())


def page(request):
    try:
        return primary(client.items())
    except Failed:
        return fallback()


serve(page)
