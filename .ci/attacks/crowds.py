"""Many at once: the red button beside a thousand held requests on a machine that has no idle core, and 32 callers that change faults."""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

from .harness import PATIENCE, Proxy, Upstream, eventually, percentile

GET = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Busy:
    """As many processes as there are cores, each of which never rests."""

    def __enter__(self):
        loop = [sys.executable, "-c", "while True: pass"]
        self.processes = [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def red_button_under_load(binary, account, rounds=20, held=1_000):
    """POST /halt while every core is saturated and a thousand requests are held: each round holds them anew."""
    upstream = Upstream()
    with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream.address}") as proxy:
        clients = [socket.create_connection(proxy.route("web"), timeout=PATIENCE) for _ in range(held)]
        took = []
        with Busy():
            for _ in range(rounds):
                fault = {"id": "hole", "route": "web", "latency": "1h", "ttl": "none"}
                assert proxy.call("POST", "/faults", fault)[0] == 201
                for client in clients:
                    client.sendall(GET)
                active = lambda: json.loads(proxy.call("GET", "/faults/hole")[2])["counters"]["active"]
                eventually("the requests to be held", lambda: active() == held)
                began = time.monotonic()
                status, _, body = proxy.call("POST", "/halt")
                took.append((time.monotonic() - began) * 1000)
                assert status == 200 and json.loads(body)["removed"] == ["hole"]
                for client in clients:
                    answer = b""
                    while b"/held\n" not in answer:
                        answer += client.recv(65_536)
        for client in clients:
            client.close()
    what = f"POST /halt beside {held:,} held requests and no idle core, p99 of {rounds}"
    account.under(what, percentile(took, 0.99), 50, "ms")


def changes(binary, account, seconds, callers=32):
    """32 callers arm, patch, look and remove, each its own fault, and all patch one fault, while requests go through the proxy."""
    upstream = Upstream()
    with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream.address}") as proxy:
        stop = time.monotonic() + seconds
        lost, made, served, last = [], [], [], {}
        shared = {"id": "shared", "route": "web", "latency": "1ms", "percent": 0, "match": {"header": {"x-first": "1"}}}
        assert proxy.call("POST", "/faults", shared)[0] == 201

        def change(number):
            draw, path, count = random.Random(number), f"/faults/c{number}", 0
            while time.monotonic() < stop:
                fault = {"id": f"c{number}", "route": "web", "latency": "1ms", "percent": 1}
                if proxy.call("POST", "/faults", fault)[0] != 201:
                    lost.append(f"{path}: not armed")
                for _ in range(draw.randint(1, 4)):
                    note = f"{draw.random()}"
                    patched = json.loads(proxy.call("PATCH", path, {"note": note})[2])
                    shown = json.loads(proxy.call("GET", path)[2])
                    count += 1
                    if patched.get("note") != note or shown.get("note") != note:
                        lost.append(f"{path}: {note} was lost")
                # Each its own field of the same fault.
                last[f"x-{number}"] = f"{draw.random()}"
                mine = {f"x-{number}": last[f"x-{number}"]}
                answer = json.loads(proxy.call("PATCH", "/faults/shared", {"match": {"header": mine}})[2])
                if answer["match"]["header"].get(f"x-{number}") != last[f"x-{number}"]:
                    lost.append(f"shared: {mine} was lost")
                count += 1
                if proxy.call("DELETE", path)[0] != 200:
                    lost.append(f"{path}: not removed")
                count += 2
            made.append(count)

        def load():
            with socket.create_connection(proxy.route("web"), timeout=PATIENCE) as client:
                count = 0
                while time.monotonic() < stop:
                    client.sendall(GET)
                    answer = b""
                    while b"/held\n" not in answer:
                        answer += client.recv(65_536)
                    count += 1
                served.append(count)

        threads = [threading.Thread(target=change, args=(number,)) for number in range(callers)]
        threads += [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept = json.loads(proxy.call("DELETE", "/faults/shared")[2])["match"]["header"]
        account.holds(f"{callers} callers patch one fault and lose no field of it", kept == {"x-first": "1"} | last)
        left = json.loads(proxy.call("GET", "/faults")[2])["faults"]
        figure = f"{sum(made):,} changes beside {sum(served):,} requests in {seconds} s"
        account.holds(f"{callers} callers lose no update", not lost and len(made) == callers, figure, lost[:3])
        account.holds("they leave no fault", not left, len(left), "0")
