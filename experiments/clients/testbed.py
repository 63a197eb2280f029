"""What the scripts of this folder share: a proxy of their own on free ports, its control API, and an upstream."""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).parent
END_MAX = 20  # seconds until a process has ended that was told to


@contextlib.contextmanager
def running(command, **options):
    """A process with what it says, until the block is over."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(END_MAX)


@contextlib.contextmanager
def upstream():
    """The port of `upstream.py`."""
    with running([sys.executable, HERE / "upstream.py"]) as process:
        yield int(process.stdout.readline())


class Proxy:
    """A proxy and its control API. `authority` is the certificate to trust on routes with `tls = "self"`."""

    def __init__(self, control, authority, pid):
        self.control, self.authority, self.pid = control, authority, pid

    def call(self, method, path, body=None):
        """What the control API answers, read from JSON."""
        request = urllib.request.Request(f"http://{self.control}{path}", method=method, data=body and json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def route(self, name, upstream, **options):
        """Makes a route on a free port and tells its address."""
        return self.call("POST", "/routes", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, **options})["listen"]

    @contextlib.contextmanager
    def fault(self, route, **spec):
        """Arms a fault while the block lasts. Gives a function that tells its counters."""
        self.call("PUT", "/faults/it", {"id": "it", "route": route, **spec})
        try:
            yield lambda: self.call("GET", "/faults/it")["counters"]
        finally:
            self.call("DELETE", "/faults/it")


@contextlib.contextmanager
def proxy(brownout):
    """A proxy without routes. Its state, with the authority's certificate, is gone with it."""
    with tempfile.TemporaryDirectory() as state:
        command = [brownout, "proxy", "--control", "127.0.0.1:0", "--seed", "7", "--state-dir", state, "--output", "json"]
        with running(command, stderr=subprocess.DEVNULL) as process:
            ready = json.loads(process.stdout.readline())
            yield Proxy(ready["control"], pathlib.Path(state) / "local-ca.pem", process.pid)
