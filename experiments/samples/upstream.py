#!/usr/bin/env python3
"""A well-behaved HTTP/1.1 upstream for the samples: keep-alive, HEAD, Content-Length or chunked. Python 3.11, standard library only.

The first line on stdout is the port. The process ends with its parent's SIGTERM; nothing is kept on disk.
"""

import argparse
import asyncio
import json
import signal
import urllib.parse

HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 1024 * 1024
ORDERS_MAX = 10_000  # idempotency keys remembered; the oldest is forgotten first
IDLE_SECONDS = 60
REASONS = {200: "OK", 201: "Created", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large"}


def catalogue(word):
    items = [{"id": n, "name": f"{word} {n}", "price_cents": 500 + 37 * n, "stock": n % 7} for n in range(1, 25)]
    return json.dumps({"items": items, "count": len(items)}).encode()


BODIES = {"/items": catalogue("item"), "/stream": catalogue("item"), "/popular": catalogue("popular"), "/prices": catalogue("price")}


class Upstream:
    def __init__(self, delay):
        self.delay = delay
        self.orders = {}

    def answer(self, method, path, headers):
        """Returns status and body; the body of a HEAD is left out by the writer."""
        if path == "/orders":
            return self.order(headers.get("idempotency-key")) if method == "POST" else (405, b"{}")
        if path not in BODIES:
            return 404, b'{"error": "no such path"}'
        return (200, BODIES[path]) if method in ("GET", "HEAD") else (405, b"{}")

    def order(self, key):
        """An order under a known idempotency key is answered again, not made again."""
        if key is None or key not in self.orders:
            number = len(self.orders) + 1
            self.orders[key or f"order-{number}"] = number
            if len(self.orders) > ORDERS_MAX:
                self.orders.pop(next(iter(self.orders)))
        else:
            number = self.orders[key]
        return 201, json.dumps({"order": number}).encode()

    async def connection(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        async with asyncio.timeout(IDLE_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, version = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        length = int(headers.get("content-length", 0))
        if not 0 <= length <= BODY_BYTES_MAX:
            raise ValueError(f"a body of {length} bytes")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            await self.read_chunks(reader)
        else:
            await reader.readexactly(length)
        await asyncio.sleep(self.delay)
        url = urllib.parse.urlsplit(target)
        status, body = self.answer(method, url.path, headers)
        chunked = url.path == "/stream" or urllib.parse.parse_qs(url.query).get("chunked") == ["1"]
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        self.write(writer, status, body, chunked=chunked, send_body=method != "HEAD", keep=keep)
        await writer.drain()
        return keep

    @staticmethod
    async def read_chunks(reader):
        total = 0
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            total += size
            if total > BODY_BYTES_MAX:
                raise ValueError(f"a body of more than {BODY_BYTES_MAX} bytes")
            await reader.readexactly(size + 2)
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass

    @staticmethod
    def write(writer, status, body, *, chunked, send_body, keep):
        framing = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\n{framing}\r\n"
        head += "\r\n" if keep else "connection: close\r\n\r\n"
        if chunked:
            pieces = [body[at : at + 512] for at in range(0, len(body), 512)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        writer.write(head.encode() + (body if send_body else b""))


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay-ms", type=float, default=8, help="time each answer takes")
    options = parser.parse_args()
    upstream = Upstream(options.delay_ms / 1000)
    server = await asyncio.start_server(upstream.connection, "127.0.0.1", options.port, limit=HEAD_BYTES_MAX, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
