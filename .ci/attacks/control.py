"""Attacks on the control API: memory, the red button, long turns of its thread, and callers that may not call."""

import json
import signal
import socket
import threading
import time

from .harness import HALF_SECOND, PATIENCE, Beside, Proxy, crowd, eventually, exchange, leave, percentile

COSTLY = "re:^(?:[a-z]{1,40}x){1,28}$"


def expressions(count):
    """Expressions that differ and come close to the bound of one."""
    return [f"{COSTLY}|{n}" for n in range(count)]


def memory(binary, account):
    with Proxy(binary, "--route", "web=127.0.0.1:0=http://127.0.0.1:9") as proxy:
        before = proxy.rss()
        for what, paths in [
            ("400 expressions in one fault", ["re:[\\w\\d]{8}"] * 400),
            ("20,000 patterns in one fault", ["/a*"] * 20_000),
            ("one expression that compiles to more than its bound", ["re:[\\w\\d]{8}"]),
        ]:
            began = time.monotonic()
            fault = {"route": "web", "reset": {}, "match": {"path": paths}}
            status, _, body = proxy.call("POST", "/faults", fault)
            took = (time.monotonic() - began) * 1000
            account.holds(what, status == 422 and len(body) < 65_536, f"{status}, {len(body)} bytes", "422")
            account.under(what, took, 250, "ms")
        fault = {"route": "web", "reset": {}, "percent": 0, "match": {"path": expressions(16)}}
        began = time.monotonic()
        status, _, _ = proxy.call("POST", "/faults", fault)
        account.holds("the most expressions of one fault", status == 201, status, "201")
        account.under("to compile them", (time.monotonic() - began) * 1000, 1000, "ms")
        with Beside(proxy) as beside:
            for _ in range(15):
                status, _, _ = proxy.call("POST", "/faults", fault)
            status, _, _ = proxy.call("POST", "/faults", fault)
        account.holds("one fault more than all faults may have expressions", status == 422, status, "422")
        full = proxy.rss()
        account.under("memory with as many expressions as there may be", full - before, 256, "MiB more")
        account.under("others wait while they are compiled, p99", percentile(beside.waits, 0.99), 50, "ms")
        ids = [fault["id"] for fault in json.loads(proxy.call("GET", "/faults")[2])["faults"]]
        waits = []
        done = threading.Event()

        def patch():
            while not done.is_set():
                paths = expressions(16)[::-1]
                proxy.call("PATCH", f"/faults/{ids[0]}", {"match": {"path": paths}})

        patching = threading.Thread(target=patch)
        patching.start()
        for _ in range(50):
            began = time.monotonic()
            # Takes the lock that a halt takes, and removes nothing.
            proxy.call("DELETE", "/faults/none")
            waits.append((time.monotonic() - began) * 1000)
        done.set()
        patching.join()
        account.under("others wait beside PATCH of expressions, p99", percentile(waits, 0.99), 50, "ms")
        proxy.call("DELETE", "/faults")

        # The allocator gives memory back when it is called again, so the process is asked something meanwhile.
        def is_back():
            proxy.call("GET", "/faults?state=ended")
            return proxy.rss() < before + (full - before) / 4

        try:
            eventually("memory to be given back", is_back, 10)
        except AssertionError:
            pass
        account.under("memory after they are removed", proxy.rss() - before, max(32, (full - before) / 4), "MiB more")


def halts(proxy, count=200):
    took = []
    for _ in range(count):
        began = time.monotonic()
        status, _, _ = proxy.call("POST", "/halt")
        if status != 200:
            return [float("inf")]
        took.append((time.monotonic() - began) * 1000)
    return took


def red_button(binary, account):
    with Proxy(binary, "--route", "web=127.0.0.1:0=http://127.0.0.1:9") as proxy:
        ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        half_head = b"POST /faults HTTP/1.1\r\nHost: localhost\r\n"
        half_body = half_head + b'Content-Length: 100\r\n\r\n{"route":'
        unread = b"GET /faults/kinds HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
        for what, request in [
            ("1,000 silent clients", b""),
            ("1,000 clients that keep their connection", ask),
            ("1,000 clients in the middle of a head", half_head),
            ("1,000 clients in the middle of a body", half_body),
            ("1,000 clients that ask and never read", unread),
        ]:
            clients = crowd(proxy.control, 1_000, request)
            account.under(f"POST /halt beside {what}, p99", percentile(halts(proxy), 0.99), 50, "ms")
            leave(clients)
        clients = crowd(proxy.control, 256, ask)
        stop = threading.Event()

        def poll():
            while not stop.wait(0.05):
                for client in clients:
                    try:
                        client.sendall(ask)
                        client.recv(65_536)
                    except OSError:
                        pass

        polling = threading.Thread(target=poll)
        polling.start()
        account.under("POST /halt beside 256 clients that poll, p99", percentile(halts(proxy), 0.99), 50, "ms")
        stop.set()
        polling.join()
        leave(clients)
        eventually("places to be given back", lambda: proxy.call("GET", "/faults")[0] == 200)
        proxy.call("POST", "/faults", {"route": "web", "reset": {}})
        began = time.monotonic()
        proxy.process.send_signal(signal.SIGUSR1)
        eventually("SIGUSR1 to halt", lambda: not json.loads(proxy.call("GET", "/faults")[2])["faults"])
        account.under("SIGUSR1 halts", (time.monotonic() - began) * 1000, 100, "ms")


def costly():
    """Bodies that cost more than their length if nothing is bounded."""
    members = {f"latencey{n}": n for n in range(45_000)}
    return [
        ("a key of 1 MB", {"route": "web", "reset": {}, "k" * 1_000_000: 1}),
        ("45,000 unknown keys", {"route": "web", **members}),
        ("45,000 members inside", {"route": "web", "abort": {"status": 503, "headers": members}}),
        ("30,000 faults", [{"route": "web", "reset": {}}] * 30_000),
        ("900 wrong faults", [{"route": "wbe", "abort": 99, "percent": 101, "color": 1}] * 900),
        ("100,000 routes", {"route": [f"r{n}" for n in range(100_000)], "reset": {}}),
        ("an unknown word of 1 MB", {"route": "web", "blackhole": {"then": "r" * 1_000_000}}),
        ("500,000 numbers", [1] * 500_000),
    ]


def long_turns(binary, account):
    with Proxy(binary, "--route", "web=127.0.0.1:0=http://127.0.0.1:9") as proxy:
        with Beside(proxy) as alone:
            time.sleep(HALF_SECOND)
        base = percentile(alone.waits, 0.99)
        account.under("GET /healthz alone, p99", base, 50, "ms")
        for what, body in costly():
            raw = json.dumps(body, separators=(",", ":")).encode()
            with Beside(proxy) as beside:
                began = time.monotonic()
                for _ in range(5):
                    status, _, answer = proxy.call("POST", "/faults", raw=raw)
                took = (time.monotonic() - began) * 1000 / 5
            account.holds(what, status in (413, 422, 429) and len(answer) < 65_536, f"{status}, {len(answer)} bytes in "
                          f"{took:.0f} ms", "refused in less than 64 KiB")
            account.under(f"{what}: others wait more, p99", percentile(beside.waits or [0], 0.99) - base, 40, "ms")
        for group in range(2):
            for n in range(499):
                proxy.call("POST", "/routes", {"name": f"r{group}-{n}", "listen": "127.0.0.1:0",
                                               "upstream": "http://127.0.0.1:9", "enabled": False})
        faults = [{"route": "*", "latency": "1ms", "percent": 0, "ttl": "none"}] * 1_000
        account.holds("1,000 faults on * beside 999 routes", proxy.call("POST", "/faults", faults)[0] == 201)
        for path in ["/routes", "/faults", "/metrics"]:
            with Beside(proxy) as beside:
                for _ in range(5):
                    status, _, answer = proxy.call("GET", path)
            account.under(f"GET {path} of {len(answer) >> 10} KiB: others wait more, p99",
                          percentile(beside.waits or [0], 0.99) - base, 40, "ms")
        account.under("POST /halt of 1,000 faults", percentile(halts(proxy, 1), 1), 100, "ms")


def who_may_call(binary, account):
    with Proxy(binary, "--route", "web=127.0.0.1:0=http://127.0.0.1:9") as proxy:
        def raw(request):
            with socket.create_connection(proxy.control, timeout=10) as caller:
                return exchange(caller, request)

        host = b"Host: localhost\r\n"
        close = b"Connection: close\r\n\r\n"
        for what, head, wanted in [
            ("two Host fields", b"GET /faults HTTP/1.1\r\n" + host * 2, 400),
            ("no Host", b"GET /faults HTTP/1.1\r\n", 400),
            ("a foreign Host", b"GET /faults HTTP/1.1\r\nHost: evil.example\r\n", 403),
            ("a foreign Origin", b"GET /faults HTTP/1.1\r\n" + host + b"Origin: http://evil.example\r\n", 403),
            ("two Origin fields", b"GET /faults HTTP/1.1\r\n" + host + b"Origin: http://localhost\r\n" * 2, 400),
            ("a page of another site", b"GET /faults HTTP/1.1\r\n" + host + b"Sec-Fetch-Site: cross-site\r\n", 403),
            ("a target with another authority", b"GET http://evil.example/faults HTTP/1.1\r\n" + host, 400),
            ("a target of 60 kB", b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\n" + host, 414),
            ("300 fields", b"GET /faults HTTP/1.1\r\n" + host + b"A: b\r\n" * 300, 431),
            ("a field of 40 kB", b"GET /faults HTTP/1.1\r\n" + host + b"A: " + b"b" * 40_000 + b"\r\n", 431),
            ("a body of 2 MB", b"POST /faults HTTP/1.1\r\n" + host + b"Content-Length: 2000000\r\n", 413),
        ]:
            body = b"x" * 2_000_000 if b"2000000" in head else b""
            status, fields, _ = raw(head + close + body)
            is_problem = "application/problem+json" in fields
            account.holds(what, status == wanted and is_problem, status, f"{wanted} with a reason")
        status, _, _ = raw(b"no HTTP\r\n\r\n")
        account.holds("bytes that are no HTTP", status == 400, status, "400")
        status, fields, _ = raw(b"POST /nothing HTTP/1.1\r\n" + host + b"Content-Length: 100000\r\n\r\n")
        account.holds("a refusal that leaves a body unread", "connection: close" in fields, status, "closes")


def toxiproxy(binary, account, rounds=30):
    """What freezes Toxiproxy's API (its issues 254, 412, 558): no call takes over 50 ms."""
    with Proxy(binary) as proxy, socket.create_server(("127.0.0.1", 0), backlog=64) as flooding:
        took = []

        def call(method, path, body=None, wanted=(200, 201, 204)):
            began = time.monotonic()
            status, _, answer = proxy.call(method, path, body)
            took.append((time.monotonic() - began) * 1000)
            assert status in wanted, (method, path, status, answer)

        def flood():
            while True:
                try:
                    client, _ = flooding.accept()
                except OSError:
                    return
                threading.Thread(target=send, args=(client,), daemon=True).start()

        def send(client):
            try:
                while client.send(b"x" * 65_536):
                    pass
            except OSError:
                client.close()

        def proxied(name, upstream):
            call("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream})
            listen = json.loads(proxy.call("GET", f"/proxies/{name}")[2])["listen"]
            host, port = listen.rsplit(":", 1)
            return (host, int(port))

        threading.Thread(target=flood, daemon=True).start()
        listen = proxied("flood", "127.0.0.1:%d" % flooding.getsockname()[1])
        for _ in range(rounds):
            call("POST", "/proxies/flood/toxics", {"type": "latency", "attributes": {"latency": 10_000}})
            with socket.create_connection(listen, timeout=PATIENCE) as unread:
                unread.sendall(b"go on")
                call("GET", "/proxies")
                call("DELETE", "/proxies/flood/toxics/latency_downstream")
                call("GET", "/proxies")
                call("POST", "/reset")
        account.under("Toxiproxy's calls beside a client that does not read, p99", percentile(took, 0.99), 50, "ms")

        # An upstream whose queue is full: to connect to it takes until somebody gives up.
        took.clear()
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = []
            for _ in range(4):
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(full.getsockname())
            for number in range(rounds):
                listen = proxied(f"p{number}", "127.0.0.1:%d" % full.getsockname()[1])
                with socket.create_connection(listen, timeout=PATIENCE) as pending:
                    pending.sendall(b"ping")
                    call("POST", f"/proxies/p{number}", {"enabled": False})
                    call("GET", "/proxies")
                    call("DELETE", f"/proxies/p{number}")
            leave(waiting)
        account.under("Toxiproxy's calls while a connect hangs, p99", percentile(took, 0.99), 50, "ms")
