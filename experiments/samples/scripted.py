"""For `check`: an upstream that misbehaves on command and remembers each request, and the load that asks a sample for pages."""

import asyncio
import contextlib
import dataclasses
import json
import random
import time

from upstream import BODIES, catalogue

SERVICE_SECONDS = 0.008
BODY = catalogue("item")


@dataclasses.dataclass
class Attempt:
    began: float
    method: str
    path: str
    key: str | None
    ended: float | None = None  # None while it is open
    by_client: bool = False


@dataclasses.dataclass
class Fault:
    """What happens to requests; `limit` is how many, `share` which part of them."""

    kind: str = "none"
    seconds: float = 0.0  # latency; the gap of a dribble
    status: int = 503
    retry_after: str | None = None
    body: bytes = b""
    pieces: int = 40
    limit: int | None = None
    share: float = 1.0


class ScriptedUpstream:
    def __init__(self):
        self.attempts, self.fault, self.in_flight, self.in_flight_max = [], Fault(), 0, 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    def set(self, kind="none", **more):
        self.fault, self.in_flight_max = Fault(kind, **more), self.in_flight

    def since(self, began, method="GET"):
        return [attempt for attempt in self.attempts if attempt.began >= began and attempt.method == method]

    async def connection(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.exchange(reader, writer):
                pass
        writer.close()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        await reader.readexactly(int(headers.get("content-length", 0)))
        attempt = Attempt(time.monotonic(), method, target, headers.get("idempotency-key"))
        self.attempts.append(attempt)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight, self.in_flight_max)
        try:
            kept = await self.strike(attempt, reader, writer)
        except ConnectionError:
            attempt.by_client, kept = True, False
        finally:
            self.in_flight -= 1
            attempt.ended = time.monotonic()
        return kept

    async def strike(self, attempt, reader, writer):
        """Answers as the fault in force says; returns whether the connection can be used again."""
        fault, body = self.fault, BODIES.get(attempt.path.partition("?")[0], BODY)
        if attempt.method == "POST":
            body = b'{"order": 1}'
        struck = fault.kind != "none" and random.random() < fault.share and fault.limit != 0
        if not struck:
            await asyncio.sleep(SERVICE_SECONDS)
            return await self.send(writer, 200, body)
        if fault.limit is not None:
            fault.limit -= 1
        half = body[: len(body) // 2]
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.seconds)
                return await self.send(writer, 200, body)
            case "status":
                more = f"retry-after: {fault.retry_after}\r\n" if fault.retry_after else ""
                return await self.send(writer, fault.status, b'{"error": "told to"}', more)
            case "body":
                return await self.send(writer, 200, fault.body)
            case "reset":
                writer.transport.abort()
                return False
            case "hang":
                return await self.hold(attempt, reader)
            case "stall":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + half)
                return await self.hold(attempt, reader)
            case "cut":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + half)
            case "cut-chunked":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(half), half))
            case "dribble" | "dribble-head":
                head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n" % len(body)
                if fault.kind == "dribble":
                    writer.write(head + b"\r\n")
                    slow, rest = body, b""
                else:
                    slow, rest = head + b"x-padding: " + b"p" * 400 + b"\r\n\r\n", body
                await self.dribble(writer, slow, fault)
                writer.write(rest)
                await writer.drain()
                return True
            case unknown:
                raise ValueError(unknown)
        await writer.drain()
        return False

    @staticmethod
    async def hold(attempt, reader):
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        attempt.by_client = True
        return False

    @staticmethod
    async def dribble(writer, text, fault):
        size = max(1, len(text) // fault.pieces)
        for at in range(0, len(text), size):
            writer.write(text[at : at + size])
            await writer.drain()
            if writer.transport.is_closing():
                raise ConnectionResetError
            await asyncio.sleep(fault.seconds)

    @staticmethod
    async def send(writer, status, body, more=""):
        writer.write(f"HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


@dataclasses.dataclass
class Page:
    began: float
    seconds: float
    status: int = 0  # 0 when the patience ended first
    degraded: bool = False
    items: int = 0
    retry_after: bool = False

    @property
    def served(self):
        """Answered as a client without a fallback may: a page, or a 503 that says when to come back."""
        return self.status == 200 or (self.status == 503 and self.retry_after)

    @property
    def primary(self):
        return self.status == 200 and not self.degraded


async def get(port, path="/page", *, method="GET", patience=10.0):
    """Asks on a connection of its own; a caller whose patience ends closes it."""
    began = time.monotonic()
    writer = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{method} {path} HTTP/1.1\r\nhost: sample\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
            answer = await reader.read()
    except (TimeoutError, ConnectionError):
        return Page(began, time.monotonic() - began)
    finally:
        if writer:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return Page(began, time.monotonic() - began)
    items = json.loads(body).get("items", [])
    lower = head.lower()
    return Page(began, time.monotonic() - began, int(head.split()[1]), b"x-degraded: 1" in lower, len(items), b"retry-after:" in lower)


async def load(port, rate, seconds, path="/page", patience=10.0):
    """An open load: pages begin at a steady rate, whether or not earlier ones were answered."""
    began = time.monotonic()
    pages = []
    for n in range(int(rate * seconds)):
        await asyncio.sleep(max(0, began + n / rate - time.monotonic()))
        pages.append(asyncio.create_task(get(port, path, patience=patience)))
    return await asyncio.gather(*pages)
