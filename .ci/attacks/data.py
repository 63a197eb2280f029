"""Attacks on routes and on the process: loops, release, limits, output that cannot be written, series of metrics."""

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

from .harness import PATIENCE, Proxy, Upstream, crowd, eventually, exchange, free_port, leave

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST_GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def loops(binary, account):
    with Proxy(binary) as proxy:
        port = free_port()
        for host in ["127.0.0.1", "localhost", "LOCALHOST", "0.0.0.0", "[::ffff:127.0.0.1]", "[::]", "a.localhost"]:
            route = {"name": "own", "listen": f"0.0.0.0:{port}", "upstream": f"http://{host}:{port}"}
            status, _, _ = proxy.call("POST", "/routes", route)
            if status == 201:
                proxy.call("DELETE", "/routes/own")
            if host == "[::]":
                route["listen"] = f"[::]:{port}"
                status, _, _ = proxy.call("POST", "/routes", route)
            account.holds(f"a route to itself through {host}", status == 422, status, "422")
        one, other = free_port(), free_port()
        proxy.call("POST", "/routes", {"name": "one", "listen": f"127.0.0.1:{one}", "upstream": f"http://localhost:{other}"})
        status, _, _ = proxy.call("POST", "/routes", {"name": "chain", "listen": "127.0.0.1:0",
                                                      "upstream": f"http://localhost:{one}"})
        account.holds("a chain of routes", status == 201, status, "201")
        status, _, _ = proxy.call("POST", "/routes", {"name": "other", "listen": f"127.0.0.1:{other}",
                                                      "upstream": f"tcp://localhost:{one}"})
        account.holds("two routes that lead to each other", status == 422, status, "422")
        proxy.call("POST", "/routes", {"name": "other", "listen": "127.0.0.1:0", "upstream": f"http://localhost:{one}"})
        status, _, _ = proxy.call("PATCH", "/routes/other", {"listen": f"127.0.0.1:{other}"})
        account.holds("a cycle by PATCH listen", status == 422, status, "422")
        status, _, _ = proxy.call("PATCH", "/routes/one", {"upstream": f"http://localhost:{one}"})
        account.holds("a cycle by PATCH upstream", status == 422, status, "422")
        for host in ["127.0.0.1", "localhost"]:
            route = {"name": "api", "listen": "127.0.0.1:0", "upstream": f"http://{host}:{proxy.control[1]}"}
            status, _, _ = proxy.call("POST", "/routes", route)
            account.holds(f"the control API as an upstream by {host}", status == 422, status, "422")
        account.under("connections after the loops", proxy.descriptors(), 64, "descriptors")
        name = socket.gethostname()
        try:
            reaches = socket.getaddrinfo(name, port, socket.AF_INET)[0][4][0]
        except OSError:
            print("skipped: a loop by the machine's name, which has no address")
            return
        status, _, _ = proxy.call("POST", "/routes", {"name": "named", "listen": f"0.0.0.0:{port}",
                                                      "upstream": f"http://{name}:{port}"})
        if status == 201:
            with socket.create_connection((reaches, port), timeout=PATIENCE) as client:
                status, _, _ = exchange(client, LAST_GET)
            account.holds("a request that meets its route again by a name", status == 508, status, "508")
        else:
            account.holds("a route to itself by the machine's name", status == 422, status, "422")


def release(binary, account):
    """1,000 held requests that each need a new connection: the second proxy's journal says when each came."""
    held = 1_000
    with Proxy(binary, "--route", "there=127.0.0.1:0=http://127.0.0.1:9") as there:
        there.call("POST", "/faults", {"route": "there", "abort": 200, "ttl": "none"})
        upstream = "%s:%d" % there.route("there")
        with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream}") as proxy:
            for how in ["POST /halt", "DELETE /faults"]:
                proxy.call("POST", "/faults", {"route": "web", "latency": "1h", "ttl": "none"})
                clients = crowd(proxy.route("web"), held, LAST_GET)
                active = lambda: json.loads(proxy.call("GET", "/faults")[2])["faults"][0]["counters"]["active"]
                eventually("all requests to be held", lambda: active() == held)
                began_unix = time.time()
                began = time.monotonic()
                proxy.call(*how.split())
                called = (time.monotonic() - began) * 1000
                for client in clients:
                    client.settimeout(PATIENCE)
                    while client.recv(65_536):
                        pass
                leave(clients)
                listing = json.loads(there.call("GET", f"/requests?limit={held}")[2])
                zero = listing["began_unix_us"]
                came = [(zero + one["t_head"]) / 1e6 - began_unix for one in listing["requests"]]
                account.holds(f"{how}: requests that arrived", len(came) == held, len(came), str(held))
                account.under(f"{how} answers", called, 100, "ms")
                account.under(f"{how}: the last of {held:,} requests arrived by a connection of its own",
                              max(came) * 1000, 400, "ms")
            proxy.call("POST", "/faults", {"route": "web", "blackhole": {}, "ttl": "none"})
            clients = crowd(proxy.route("web"), held, GET)
            eventually("all requests to be swallowed", lambda: active() == held)
            poll = select.epoll()
            for client in clients:
                poll.register(client, select.EPOLLIN)
            began = time.monotonic()
            proxy.call("POST", "/halt")
            left = held
            while left and time.monotonic() - began < PATIENCE:
                for descriptor, _ in poll.poll(1):
                    poll.unregister(descriptor)
                    left -= 1
            account.under(f"POST /halt: {held:,} swallowed requests are let go", (time.monotonic() - began) * 1000, 100, "ms")
            leave(clients)


def limits(binary, account, connections):
    upstream = Upstream()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(f'[limits]\nconnections = 10\n[[route]]\nname = "web"\nlisten = "127.0.0.1:0"\n'
                   f'upstream = "http://{upstream.address}"\n')
        file.flush()
        with Proxy(binary, config=file.name) as proxy:
            clients = crowd(proxy.route("web"), 30, GET)
            eventually("ten to be answered", lambda: upstream.asked >= 10)
            proxy.call("DELETE", "/routes/web")
            closed = 0
            for client in clients:
                client.settimeout(5)
                try:
                    while client.recv(65_536):
                        pass
                    closed += 1
                except ConnectionResetError:
                    closed += 1
                except TimeoutError:
                    pass
            account.holds("clients that end with a route at the limit of connections", closed == 30, closed, "30")
            leave(clients)
    with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream.address}", descriptors=256) as proxy:
        clients = crowd(proxy.control, 300)
        answered = 0
        for _ in range(20):
            with socket.create_connection(proxy.route("web"), timeout=PATIENCE) as client:
                answered += exchange(client, LAST_GET)[0] == 200
        account.holds("requests with 256 descriptors beside 300 idle control clients", answered == 20, answered, "20")
        leave(clients)
    with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream.address}") as proxy:
        before, descriptors = proxy.rss(), proxy.descriptors()
        clients = crowd(proxy.route("web"), connections, GET[:10])
        eventually("all to be open", lambda: status_of(proxy)["connections"] == connections)
        full = proxy.rss()
        account.under(f"memory of {connections:,} clients in the middle of a head", (full - before) * 1024 / connections,
                      16, "KiB each")
        leave(clients)
        eventually("all to be gone", lambda: status_of(proxy)["connections"] == 0)
        account.under("descriptors after they left", proxy.descriptors() - descriptors, 8, "more")
        soon = time.monotonic() + 5
        while proxy.rss() - before > 16 and time.monotonic() < soon:
            time.sleep(0.1)
        account.under("memory that stays after they left", proxy.rss() - before, 16,
                      "MiB more than before, evidence of them included")
        clients = crowd(proxy.route("web"), connections, GET[:10])
        eventually("all to be open", lambda: status_of(proxy)["connections"] == connections)
        account.under("memory of as many clients after them", proxy.rss() - full, 12, "MiB more")
        leave(clients)
    with Proxy(binary, "--route", f"web=127.0.0.1:0=http://{upstream.address}", "--drain", "2s") as proxy:
        # A request in progress, so that the drain lasts.
        proxy.call("POST", "/faults", {"route": "web", "stall": {"after_bytes": "0B", "for": "1h"}})
        hung = socket.create_server(("127.0.0.1", 0))
        proxy.call("POST", "/routes", {"name": "hung", "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:%d"
                                       % hung.getsockname()[1]})
        address = json.loads(proxy.call("GET", "/routes/hung")[2])["listen"].rsplit(":", 1)
        clients = crowd((address[0], int(address[1])), 1, GET)
        eventually("it to be in progress", lambda: json.loads(proxy.call("GET", "/requests?state=open")[2])["requests"])
        proxy.process.terminate()
        time.sleep(0.3)
        status, _, _ = proxy.call("POST", "/faults", {"route": "web", "reset": {}})
        account.holds("arming while it drains", status == 503, status, "503")
        leave(clients)
        hung.close()


def status_of(proxy):
    return json.loads(proxy.call("GET", "/routes/web")[2])


def output(binary, account):
    upstream = Upstream()
    for what, open_it in [("a full disk", lambda: open("/dev/full", "wb")), ("a closed pipe", closed_pipe)]:
        for stream in ["stdout", "stderr"]:
            port = free_port()
            control = free_port()
            with open_it() as sink:
                command = [binary, "proxy", "--control", f"127.0.0.1:{control}", "--access-log",
                           "--route", f"web=127.0.0.1:{port}=http://{upstream.address}"]
                streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: sink}
                process = subprocess.Popen(command, **streams)
            eventually("it to listen", lambda: connects(port))
            answered = 0
            for _ in range(50):
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                    answered += exchange(client, LAST_GET)[0] == 200
            process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            alive = process.poll() is None
            process.terminate()
            code = process.wait(PATIENCE)
            account.holds(f"{stream} on {what}", answered == 50 and alive and code == 0,
                          f"{answered} answers, SIGHUP {'survived' if alive else 'killed it'}, exit code {code}", "50, 0")


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "wb", buffering=0)


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def series(binary, account):
    with Proxy(binary) as proxy:
        for n in range(300):
            proxy.call("POST", "/routes", {"name": f"r{n}", "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:9"})
            proxy.call("DELETE", f"/routes/r{n}")
        for name in ["last", "a.b", "a_b"]:
            proxy.call("POST", "/routes", {"name": name, "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:9"})
        metrics = proxy.call("GET", "/metrics")[2].decode()
        for name in ["last", "a.b", "a_b"]:
            own = f'proxy_requests_total{{route="{name}"}}' in metrics
            account.holds(f"the series of the route {name} after 300 that are gone", own)
        account.holds("no series of a route that is gone", 'route="r7"' not in metrics)
