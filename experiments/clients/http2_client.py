"""Asks a URL over HTTP/2 with httpx, one request after the other on one connection: http2_client.py URL TIMES BYTES"""

import sys

import httpx

url, times, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with httpx.Client(http1=False, http2=True, timeout=2) as client:
    for _ in range(times):
        try:
            answer = client.post(url, content=bytes(size)) if size else client.get(url)
            text = f"{answer.status_code}, {len(answer.content)} bytes"
        except Exception as error:
            text = f"httpx.{type(error).__name__}: {error}"
print(text)
