"""A healthy HTTP client for threaded services: deadline, bounded pool, retries with a budget, breaker, validation.

Each sample changes one parameter or overrides one method; what is not changed is meant to be right.
"""

import collections
import contextlib
import email.utils
import http.client
import io
import json
import random
import select
import threading
import time
import urllib.parse

SHORTEST_ATTEMPT = 0.02  # seconds; with less time left an attempt is not begun


class Failed(Exception):
    """A call failed. `kind` is timeout, connection, body, status, busy (no place free) or open (breaker)."""

    def __init__(self, kind, detail="", status=None, retry_after=None):
        super().__init__(f"{kind} {status or ''} {detail}")
        self.kind, self.status, self.retry_after = kind, status, retry_after


class Breaker:
    """Opens when `share` of the last `window` attempts failed (at least `least` of them); after `open_for` one probe decides."""

    def __init__(self, *, share=0.5, window=20, least=10, open_for=1.5):
        self.share, self.least, self.open_for = share, least, open_for
        self.results = collections.deque(maxlen=window)
        self.lock = threading.Lock()
        self.opened_at = None
        self.probing = False
        self.generation = 0  # results of attempts from before the last change of state do not count

    def enter(self):
        with self.lock:
            if self.opened_at is not None:
                if self.probing or time.monotonic() - self.opened_at < self.hold():
                    raise Failed("open")
                self.probing = True
            return self.generation

    def leave(self, generation, ok):
        """`ok` is None for an attempt that says nothing about the dependency."""
        with self.lock:
            if generation != self.generation:
                return
            if self.opened_at is not None:
                self.probed(ok)
            elif ok is not None:
                self.results.append(ok)
                failed = self.results.count(False)
                if len(self.results) >= self.least and failed >= self.share * len(self.results):
                    self.open()

    def hold(self):
        return self.open_for

    def probed(self, ok):
        self.probing = False
        if ok:
            self.close()
        elif ok is False:
            self.open()

    def open(self):
        self.opened_at, self.generation = time.monotonic(), self.generation + 1
        self.probing = False

    def close(self):
        self.opened_at, self.generation = None, self.generation + 1
        self.results.clear()


class NoBreaker:
    def enter(self):
        return None

    def leave(self, generation, ok):
        pass


class RetryBudget:
    """Each call earns `ratio` of a retry, up to `tokens`."""

    def __init__(self, tokens=10, ratio=0.2):
        self.most, self.tokens, self.ratio, self.lock = tokens, tokens, ratio, threading.Lock()

    def earn(self):
        with self.lock:
            self.tokens = min(self.most, self.tokens + self.ratio)

    def spend(self):
        with self.lock:
            if self.tokens < 1:
                return False
            self.tokens -= 1
            return True


class _DeadlineSocket:
    """Every wait on the socket ends at one instant, however slowly bytes arrive."""

    def __init__(self, sock, ends):
        self.sock, self.ends = sock, ends

    def arm(self):
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        self.sock.settimeout(left)

    def sendall(self, data):
        self.arm()
        self.sock.sendall(data)

    def makefile(self, *_):
        return io.BufferedReader(_DeadlineReader(self, self.sock.makefile("rb", buffering=0)))

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, owner, raw):
        self.owner, self.raw = owner, raw

    def readable(self):
        return True

    def readinto(self, buffer):
        self.owner.arm()
        return self.raw.readinto(buffer)

    def close(self):
        self.raw.close()
        super().close()


class DeadlineConnection(http.client.HTTPConnection):
    ends = None

    def connect(self):
        super().connect()
        self.sock = _DeadlineSocket(self.sock, self.ends)


class Client:
    connection_class = DeadlineConnection

    def __init__(self, base_url, *, attempt_timeout=0.25, attempts=3, page_time=0.8, backoff=0.08, backoff_cap=1.0,
                 budget=None, breaker=None, places=16, place_wait=0.05):
        url = urllib.parse.urlsplit(base_url)
        self.host, self.port = url.hostname, url.port
        self.attempt_timeout, self.attempts, self.page_time = attempt_timeout, attempts, page_time
        self.backoff, self.backoff_cap = backoff, backoff_cap
        self.budget = budget or RetryBudget()
        self.breaker = breaker or Breaker()
        self.places, self.place_wait = threading.BoundedSemaphore(places), place_wait
        self.idle = []  # a stack: the connection used last is used next; never more than `places`

    # A call: attempts inside one deadline.

    def items(self, path="/items", *, headers=None, seconds=None):
        return self.call("GET", path, headers=headers, seconds=seconds)["items"]

    def call(self, method, path, *, body=None, headers=None, seconds=None):
        ends = time.monotonic() + (self.page_time if seconds is None else seconds)
        self.budget.earn()
        for n in range(1, self.attempts + 1):
            try:
                return self.attempt(method, path, body, headers or {}, ends)
            except Failed as failure:
                if n == self.attempts or not self.retryable(method, failure):
                    raise
                pause = self.pause(n, failure)
                if ends - time.monotonic() - pause < SHORTEST_ATTEMPT or not self.budget.spend():
                    raise
            time.sleep(pause)

    def retryable(self, method, failure):
        if method != "GET" or self.told_to_wait(failure):
            return False
        return failure.kind in ("timeout", "connection", "body") or (failure.status or 0) >= 500

    def told_to_wait(self, failure):
        return failure.retry_after is not None and failure.retry_after > 0

    def pause(self, n, failure):
        """Seconds before attempt n + 1: equal jitter on a step that doubles."""
        step = min(self.backoff * 2 ** (n - 1), self.backoff_cap)
        return random.uniform(step / 2, step)

    # An attempt: one request on one connection.

    def attempt(self, method, path, body, headers, ends):
        generation = self.breaker.enter()
        ok = None
        try:
            document = self.exchange(method, path, body, headers, min(self.attempt_timeout, ends - time.monotonic()))
            ok = True
            return document
        except Failed as failure:
            ok = None if failure.kind == "busy" else not self.counts_as_failure(failure)
            raise
        finally:
            self.breaker.leave(generation, ok)

    def counts_as_failure(self, failure):
        return failure.kind in ("timeout", "connection", "body") or failure.status >= 500

    def exchange(self, method, path, body, headers, seconds):
        if not self.places.acquire(timeout=max(0, min(self.place_wait, seconds))):
            raise Failed("busy")
        connection = self.take_idle() or self.connection_class(self.host, self.port)
        try:
            self.arm(connection, seconds)
            status, retry_after, payload = self.roundtrip(connection, method, path, body, headers)
        except Exception as error:
            self.drop(connection, error)
            raise failure_of(error) from error
        self.give_back(connection)
        if status >= 400:
            raise Failed("status", status=status, retry_after=retry_after)
        try:
            return self.parse(payload) if method == "GET" else json.loads(payload)
        except (ValueError, KeyError, TypeError) as error:
            raise Failed("body", repr(error)) from error

    def arm(self, connection, seconds):
        """Gives the attempt `seconds` for everything: connecting, sending, the head and the whole body."""
        connection.timeout = seconds
        connection.ends = time.monotonic() + seconds
        if connection.sock:
            connection.sock.ends = connection.ends

    def roundtrip(self, connection, method, path, body, headers):
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, seconds_of(answer.getheader("retry-after")), self.read_body(answer)

    def read_body(self, answer):
        return answer.read()

    def parse(self, payload):
        """Refuses a body that is not the whole list it says it is."""
        document = json.loads(payload)
        items = document["items"]
        if len(items) != document["count"] or not all(isinstance(item["id"], int) for item in items):
            raise ValueError("not the list it says it is")
        return document

    def take_idle(self):
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                return None
            # Readable while idle means that the server closed it.
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def give_back(self, connection):
        self.idle.append(connection)
        self.places.release()

    def drop(self, connection, error):
        """An attempt on this connection failed: what still arrives on it belongs to nobody."""
        connection.close()
        self.places.release()


def failure_of(error):
    match error:
        case TimeoutError():
            return Failed("timeout")
        case http.client.IncompleteRead():
            return Failed("body", str(error))
        case OSError() | http.client.HTTPException():
            return Failed("connection", repr(error))
    return error


def seconds_of(retry_after):
    """`Retry-After` as seconds from now, or None."""
    if retry_after is None:
        return None
    with contextlib.suppress(ValueError):
        return float(retry_after)
    with contextlib.suppress(ValueError):
        return email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
    return None
