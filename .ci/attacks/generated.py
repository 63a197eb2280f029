"""Generated control calls, and verified traffic beside mixed faults."""

import json
import random
import socket
import threading
import time

from .harness import PATIENCE, Proxy, Upstream

KINDS = ["latency", "abort", "reset", "close", "blackhole", "truncate", "stall", "dribble", "bandwidth", "corrupt",
         "malformed", "mutate", "rate_limit", "saturate", "duplicate", "redirect", "replay_stale", "refuse"]
VALUES = [None, True, 0, 1, -1, 1e308, 2**63, "", "1s", "250ms", "-1s", "1/1000", "re:(a", "re:^/x", "*", "a" * 2_000, [], {},
          [1], ["GET"], {"p50": "1ms", "p99": "2ms"}, {"after_bytes": "1KiB"}, {"status": 503}, {"how": "flip"}, "\u0000", "é"]
KEYS = ["route", "id", "percent", "match", "ttl", "start", "limit", "every", "per", "group", "labels", "owner", "lease", "note",
        "layer", "direction", "wave", "ramp", "pulses", "nemesis", "burst", "priority", "seed", "stealth", "max_active", "none"]


def fault(chance):
    made = {"route": chance.choice(["web", "*", ["web", "other"], "gone"])}
    if chance.random() < 0.9:
        made[chance.choice(KINDS)] = {} if chance.random() < 0.5 else chance.choice(VALUES)
    for _ in range(chance.randrange(4)):
        made[chance.choice(KEYS)] = chance.choice(VALUES)
    return made


def call(chance):
    """A generated call: method, target, body."""
    some = f"f{chance.randrange(20)}"
    body = json.dumps(fault(chance))
    if chance.random() < 0.05:
        body = body[: chance.randrange(len(body))]
    route = {"name": f"r{chance.randrange(8)}", "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:9",
             **{chance.choice(["enabled", "protocol", "x", "listen", "upstream"]): chance.choice(VALUES)}}
    lease = {"id": f"l{chance.randrange(4)}", "ttl": chance.choice(["1s", "100ms", "x", None])}
    return chance.choice([
        ("POST", "/faults", body),
        ("POST", "/faults", f"[{body},{body}]"),
        ("PUT", f"/faults/{some}", body),
        ("PATCH", f"/faults/{some}", body),
        ("DELETE", f"/faults/{some}", ""),
        ("DELETE", "/faults", ""),
        ("GET", "/faults?route=web", ""),
        ("GET", f"/requests?limit={chance.choice([1, 0, -1, 1000, 'x'])}", ""),
        ("POST", "/routes", json.dumps(route)),
        ("PATCH", f"/routes/{route['name']}", json.dumps({"enabled": chance.choice(VALUES)})),
        ("DELETE", f"/routes/{route['name']}", ""),
        ("POST", "/leases", json.dumps(lease)),
        ("PUT", f"/leases/{lease['id']}", ""),
        ("DELETE", f"/leases/{lease['id']}", ""),
        ("POST", "/halt", chance.choice(["", "{}", '{"rearm_after":"0s"}', '{"rearm_after":1}'])),
        (chance.choice(["GET", "PUT", "BREW"]), "/" + "%7f" * chance.randrange(5), ""),
    ])


def calls(binary, account, count, seed):
    with Proxy(binary, "--route", "web=127.0.0.1:0=http://127.0.0.1:9") as proxy:
        tally = {}
        broken = []
        marks = []
        lock = threading.Lock()

        def work(number, share):
            chance = random.Random(seed + number)
            caller = None
            for done in range(share):
                method, target, body = call(chance)
                content = body.encode()
                request = (f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
                           .encode() + content)
                for _ in range(2):  # A connection may have been closed behind a refusal.
                    try:
                        caller = caller or socket.create_connection(proxy.control, timeout=PATIENCE)
                        caller.sendall(request)
                        status, closes = answer(caller)
                        break
                    except (ConnectionError, EOFError):
                        caller, status, closes = None, 0, True
                with lock:
                    tally[status] = tally.get(status, 0) + 1
                    if status == 0 or status >= 500:
                        broken.append(f"{status} for {method} {target} {body[:200]}")
                if closes and caller:
                    caller.close()
                    caller = None
                if number == 0 and done in (share // 5, share - 1):
                    proxy.call("DELETE", "/faults")
                    marks.append((proxy.rss(), proxy.descriptors()))

        began = time.monotonic()
        workers = [threading.Thread(target=work, args=(number, count // 4)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        took = time.monotonic() - began
        shown = ", ".join(f"{status}: {times}" for status, times in sorted(tally.items()))
        account.holds(f"{count:,} generated calls in {took:.0f} s", not broken, shown, "no 5xx, none unanswered")
        for one in broken[:5]:
            print(f"        {one}")
        account.holds("it runs", proxy.process.poll() is None)
        account.under("memory between a fifth of them and the end", marks[-1][0] - marks[0][0], 24, "MiB more")
        account.under("descriptors between a fifth of them and the end", marks[-1][1] - marks[0][1], 40, "more")
        proxy.call("POST", "/halt", {"rearm_after": "0s"})
        account.holds("after POST /halt no fault is left",
                      json.loads(proxy.call("GET", "/faults")[2])["faults"] == [])
        code = proxy.end()
        account.holds("it ends in good order", code == 0, code, "0")


def answer(caller):
    """Reads one answer: its status, and whether the connection closes."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        chunk = caller.recv(1 << 16)
        if not chunk:
            raise EOFError
        received += chunk
    head = received[:end].lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
    left = end + 4 + length - len(received)
    while left > 0:
        chunk = caller.recv(min(left, 1 << 16))
        if not chunk:
            raise EOFError
        left -= len(chunk)
    return int(head.split(b" ", 2)[1]), b"connection: close" in head


MIXED = [
    {"latency": {"min": "0ms", "max": "30ms"}}, {"abort": 503}, {"reset": {}}, {"close": {}}, {"reset": {"after_bytes": "1KiB"}},
    {"truncate": {"fraction": 0.5}}, {"dribble": {"chunk_size": "1KiB", "gap": "1ms"}}, {"bandwidth": "1MB/s"},
    {"corrupt": {"how": "flip", "rate": 0.001}}, {"malformed": {"how": "chunk"}}, {"mutate": {"status": 201}},
    {"duplicate": {}}, {"rate_limit": {"limit": 50, "window": "1s"}},
]


def soak(binary, account, seconds, seed):
    """Some paths with every sort of fault, others verified byte by byte; faults and halts come and go beside both."""
    upstream = Upstream(size=8_192)
    with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream.address}") as proxy:
        stop = threading.Event()
        counts = {"verified": 0, "wrong": 0, "struck": 0, "armed": 0}
        lock = threading.Lock()

        def verified(number):
            client, n = None, 0
            while not stop.is_set():
                target = f"/good/{number}/{n}".encode()
                n += 1
                try:
                    client = client or socket.create_connection(proxy.route("web"), timeout=PATIENCE)
                    client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
                    whole = read_whole(client)
                except OSError as error:
                    whole, client = repr(error), None
                right = whole == (200, upstream.body(target))
                with lock:
                    counts["verified" if right else "wrong"] += 1

        def struck(number):
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    with socket.create_connection(proxy.route("web"), timeout=PATIENCE) as client:
                        client.sendall(f"GET /bad/{number}/{n} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
                        while client.recv(65_536):
                            pass
                except OSError:
                    pass
                with lock:
                    counts["struck"] += 1

        def change():
            chance = random.Random(seed)
            while not stop.wait(0.02):
                fault = {"route": "web", "match": {"path": "/bad/*"}, "percent": 50, "ttl": "5s", **chance.choice(MIXED)}
                if chance.random() < 0.03:
                    proxy.call("POST", "/halt")
                elif proxy.call("POST", "/faults", fault)[0] == 201:
                    counts["armed"] += 1

        workers = [threading.Thread(target=verified, args=(n,)) for n in range(3)]
        workers += [threading.Thread(target=struck, args=(n,)) for n in range(3)]
        workers.append(threading.Thread(target=change))
        for worker in workers:
            worker.start()
        time.sleep(seconds / 5)
        before = proxy.rss()
        time.sleep(seconds * 4 / 5)
        after = proxy.rss()
        stop.set()
        for worker in workers:
            worker.join()
        shown = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        account.holds(f"{seconds} s of verified requests beside mixed faults", counts["wrong"] == 0 and counts["verified"],
                      shown, "none wrong")
        account.under("memory between a fifth of that and the end", after - before, 16, "MiB more")
        account.holds("it ends in good order", proxy.end() == 0)


def read_whole(client):
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        chunk = client.recv(1 << 16)
        if not chunk:
            return received
        received += chunk
    head = received[:end].lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15:].split(b"\r\n", 1)[0])
    body = received[end + 4:]
    while len(body) < length:
        chunk = client.recv(1 << 16)
        if not chunk:
            return received
        body += chunk
    return int(head.split(b" ", 2)[1]), body
