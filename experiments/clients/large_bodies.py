"""Sends a large body up and the same down through two routes with HTTP/2 in TLS, one behind the other; its hash must
stay, and the proxy's memory flat. large_bodies.py BROWNOUT [MIB], by default 1,024. Needs curl with HTTP/2.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

brownout = sys.argv[1]
mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
GROWS_MAX = 64  # MiB of memory, whatever the body
BLOCK = os.urandom(1 << 20)
received = []

if not shutil.which("curl"):
    sys.exit("skipped: curl is not installed")


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        seen = hashlib.sha256()
        if self.headers["content-length"]:
            left = int(self.headers["content-length"])
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                seen.update(piece)
                left -= len(piece)
        else:
            while size := int(self.rfile.readline(), 16):
                seen.update(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        received.append(seen.hexdigest())
        self.send_response(204)
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(mebibytes << 20))
        self.end_headers()
        for _ in range(mebibytes):
            self.wfile.write(BLOCK)

    def log_message(self, *_):
        pass


def memory(process, key):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) / 1024


wanted = hashlib.sha256()
for _ in range(mebibytes):
    wanted.update(BLOCK)
wanted = wanted.hexdigest()

class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # The request that opens the connections is given up.


server = Server(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory() as folder:
    # HTTP/2 in TLS to the outer route and from that to the inner one, and plain to the upstream.
    config = pathlib.Path(folder) / "brownout.toml"
    state = pathlib.Path(folder) / "state"
    config.write_text(
        f"""
[[route]]
name = "inner"
listen = "127.0.0.1:0"
upstream = "http://127.0.0.1:{server.server_port}"
tls = "self"
"""
    )
    command = [brownout, "proxy", "--config", str(config), "--state-dir", str(state), "--control", "127.0.0.1:0", "--output", "json"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        ready = json.loads(proxy.stdout.readline())
        inner, control = ready["routes"]["inner"], ready["control"]
        authority = next(it for it in sorted(state.rglob("*")) if it.is_file() and "BEGIN CERTIFICATE" in it.read_text())
        outer = {
            "name": "outer", "listen": "127.0.0.1:0", "upstream": f"https://{inner}", "protocol": "h2",
            "tls": "self", "upstream_tls": {"ca": str(authority)},
        }
        made = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "-d", json.dumps(outer), f"http://{control}/routes"], capture_output=True, text=True, check=True
        )
        url = f"https://{json.loads(made.stdout)['listen']}/"
        curl = ["curl", "-sS", "--fail", "--http2", "--cacert", str(authority), url]

        subprocess.run([*curl, "-X", "GET", "-r", "0-0", "-o", "/dev/null", "--max-time", "1"], check=False, capture_output=True)
        before = memory(proxy, "VmRSS")
        up = subprocess.Popen([*curl, "-T", "-"], stdin=subprocess.PIPE)
        for _ in range(mebibytes):
            up.stdin.write(BLOCK)
        up.stdin.close()
        if up.wait(600) != 0 or received[-1:] != [wanted]:
            sys.exit(f"up: curl ended with {up.returncode}, hash {received[-1:]} is not {wanted}")
        print(f"ok: {mebibytes} MiB up keep their hash")

        down = subprocess.Popen(curl, stdout=subprocess.PIPE)
        seen = hashlib.sha256()
        while piece := down.stdout.read(1 << 20):
            seen.update(piece)
        if down.wait(600) != 0 or seen.hexdigest() != wanted:
            sys.exit(f"down: curl ended with {down.returncode}, hash {seen.hexdigest()} is not {wanted}")
        print(f"ok: {mebibytes} MiB down keep their hash")
        grown = memory(proxy, "VmHWM") - before
        if grown > GROWS_MAX:
            sys.exit(f"memory grew by {grown:.0f} MiB from {before:.0f} MiB")
        print(f"ok: memory grew by {grown:.0f} MiB at most, from {before:.0f} MiB")
    finally:
        proxy.terminate()
        proxy.wait(20)
