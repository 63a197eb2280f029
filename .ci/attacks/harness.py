"""What the attacks share: a proxy, an upstream, callers that know only bytes, and the account of what held."""

import json
import os
import resource
import selectors
import socket
import subprocess
import threading
import time

HALF_SECOND = 0.5
PATIENCE = 30  # Seconds, for what must happen at all.


class Account:
    """Prints a line for each figure and remembers which went over its bound."""

    def __init__(self, slack):
        self.slack = slack
        self.figures = 0
        self.failed = []

    def under(self, what, figure, bound, unit):
        """A figure that may be at most its bound. Times get the slack that a busy machine is given."""
        if unit == "ms":
            bound *= self.slack
        shown = f"{figure:.1f}".removesuffix(".0")
        self._line(figure <= bound, f"{what}: {shown} {unit}", f"at most {bound:g} {unit}")

    def holds(self, what, held, figure="", bound=""):
        self._line(bool(held), f"{what}: {figure}" if figure != "" else what, bound)

    def _line(self, held, text, bound):
        self.figures += 1
        if not held:
            self.failed.append(text)
        print(("  ok    " if held else "FAILED  ") + text + (f"  ({bound})" if bound else ""), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A proxy as a user starts it, with its control API on a free port."""

    def __init__(self, binary, *args, config=None, descriptors=None, stdout=None, stderr=None):
        command = [binary, "proxy", "--control", "127.0.0.1:0", "--output", "json", *args]
        if config is not None:
            command += ["--config", config]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BROWNOUT_")}

        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(
            command, stdout=stdout or subprocess.PIPE, stderr=stderr or subprocess.DEVNULL, env=environment,
            preexec_fn=limit,
        )
        self.routes = {}
        if stdout is None:
            ready = json.loads(self.process.stdout.readline())
            host, port = ready["control"].rsplit(":", 1)
            self.control = (host, int(port))
            self.routes = ready["routes"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Ends it by SIGTERM. Its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def route(self, name):
        host, port = self.routes[name].rsplit(":", 1)
        return host, int(port)

    def call(self, method, path, body=None, fields=(), raw=None):
        """One call on a connection of its own: its status and its answer's head and body."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        with socket.create_connection(self.control, timeout=PATIENCE) as caller:
            lines = [f"{method} {path} HTTP/1.1", f"Host: {self.control[0]}", "Connection: close",
                     f"Content-Length: {len(content)}", *fields]
            return exchange(caller, ("\r\n".join(lines) + "\r\n\r\n").encode() + content)

    def rss(self):
        """Resident memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def exchange(caller, request):
    """Sends a request that closes its connection. Status, head in lower case, body."""
    try:
        caller.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        pass  # It may have answered before it had read everything.
    answer = b""
    try:
        while chunk := caller.recv(1 << 16):
            answer += chunk
    except ConnectionResetError:
        pass
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
    return status, head.decode("latin-1").lower(), body


class Upstream:
    """Answers every request with its own target, which a client can check."""

    def __init__(self, size=0, connections=4096):
        self.size = size
        self.asked = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=connections)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def body(self, target):
        return target + b"\n" + (target * (self.size // max(len(target), 1) + 1))[: self.size]

    def _serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    try:
                        client, _ = self.listener.accept()
                    except OSError:
                        continue
                    client.setblocking(True)
                    self.selector.register(client, selectors.EVENT_READ, bytearray())
                else:
                    self._read(key.fileobj, key.data)

    def _read(self, client, pending):
        try:
            chunk = client.recv(1 << 16)
            pending += chunk
            while (end := pending.find(b"\r\n\r\n")) >= 0:
                self.asked += 1
                body = self.body(bytes(pending[: end].split(b" ", 2)[1]))
                del pending[: end + 4]
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            chunk = b""
        if not chunk:
            self.selector.unregister(client)
            client.close()


def eventually(what, holds, patience=PATIENCE):
    """Waits until something holds. The seconds it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > patience:
            raise AssertionError(f"waited {patience} s for {what}")
        time.sleep(0.005)
    return time.monotonic() - began


def crowd(address, count, request=b""):
    """So many connections that have sent so much, as far as they are let."""
    clients = []
    for _ in range(count):
        client = socket.create_connection(address, timeout=PATIENCE)
        if request:
            try:
                client.sendall(request)
            except OSError:
                pass
        clients.append(client)
    return clients


def leave(clients):
    for client in clients:
        client.close()


def percentile(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * share))]


class Beside:
    """Asks `GET /healthz` in turns on a connection of its own while a block runs: how long others wait."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.waits = []

    def __enter__(self):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(PATIENCE)

    def _ask(self):
        while not self.stop.is_set():
            began = time.monotonic()
            status, _, _ = self.proxy.call("GET", "/healthz")
            if status == 200:
                self.waits.append((time.monotonic() - began) * 1000)
