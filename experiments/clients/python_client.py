"""python_client.py LIBRARY URL TIMES BYTES: the last of TIMES requests, by requests or httpx, as a programmer sees it.

httpx-http2 is httpx that speaks HTTP/2 alone. With BYTES above 0 it posts so many.
"""

import sys

library, url, times, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
options = {"content": bytes(size)} if size else {}
method = "POST" if size else "GET"

if library == "requests":
    import requests

    client = requests.Session()

    def ask():
        return client.request(method, url, timeout=2)

else:
    import httpx

    client = httpx.Client(http1=library == "httpx", http2=library == "httpx-http2", timeout=2)

    def ask():
        return client.request(method, url, **options)


for _ in range(times - 1):
    ask()
try:
    answer = ask()
    print(f"{answer.status_code}, {len(answer.content)} bytes")
except Exception as error:  # Whatever it is: that is what is asked.
    print(f"{library.split('-')[0]}.{type(error).__name__}: {error}")
