"""python_client.py LIBRARY URL TIMES: the last of TIMES requests, by requests or httpx, as a programmer sees it."""

import sys

library, url, times = sys.argv[1], sys.argv[2], int(sys.argv[3])

if library == "requests":
    import requests

    client = requests.Session()

    def get():
        answer = client.get(url, timeout=2)
        return answer.status_code, answer.content

else:
    import httpx

    client = httpx.Client(timeout=2)

    def get():
        answer = client.get(url)
        return answer.status_code, answer.content


for _ in range(times - 1):
    get()
try:
    status, content = get()
    print(f"{status}, {len(content)} bytes")
except Exception as error:  # Whatever it is: that is what is asked.
    print(f"{library}.{type(error).__name__}: {error}")
