"""Calls of gRPC through the proxy with grpcio, @grpc/grpc-js and tonic: each client with each service, faults, health checks, counts.

calls.py BROWNOUT PAGE NAME=COMMAND...   writes what was seen as a page; PAGE may be empty. All of it is checked; what is wrong is told at the end.
"""

import collections
import contextlib
import json
import pathlib
import shlex
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import testbed  # noqa: E402

brownout, page, *commands = sys.argv[1:]
wrong = []
checked = 0


def same(what, seen, wanted):
    """Keeps what is not as it should be. A set has all that may be."""
    global checked
    checked += 1
    if not (seen in wanted if isinstance(wanted, set) else seen == wanted):
        wrong.append(f"{what}: {seen!r} is not {wanted!r}")
        print(f"WRONG {wrong[-1]}", flush=True)


class Peer:
    """A process with a service and a client of one library."""

    def __init__(self, name, process):
        self.name, self.process = name, process
        ready = json.loads(process.stdout.readline())
        self.port, self.version = ready["port"], ready["version"]

    def tell(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def eventually(what, look, wanted):
    """Looks again for 5 s, for what another process is still to see."""
    until = time.monotonic() + 5
    while (seen := look()) != wanted and time.monotonic() < until:
        time.sleep(0.02)
    same(what, seen, wanted)


class Journal:
    """What `GET /requests` tells of a route since the last look."""

    def __init__(self, proxy, route):
        self.proxy, self.route = proxy, route
        self.seen()

    def seen(self):
        """All that ended since the last look."""
        records = []
        while True:
            after = getattr(self, "after", 0)
            told = self.proxy.call("GET", f"/requests?route={self.route}&state=ended&after={after}&limit=1000")
            self.after = told["next"]
            records += told["requests"]
            if not told["more"]:
                return records

    def wait(self, count):
        """The next records, at least this many within 5 s."""
        until = time.monotonic() + 5
        records = self.seen()
        while len(records) < count and time.monotonic() < until:
            time.sleep(0.02)
            records += self.seen()
        return records


# What tonic's client says of a deadline.
LATE = {"tonic": "CANCELLED"}


def late(client, server):
    """A deadline is the client's, but a service of tonic looks at it as well and may be first."""
    return {LATE.get(client.name, "DEADLINE_EXCEEDED")} | ({"CANCELLED"} if server.name == "tonic" else set())


def plain(client, server, journal, **to):
    """Every kind of call without a fault, and the record of each."""
    on = f"{client.name} to {server.name}"
    it = client.tell("unary", method="Unary", bytes=1_000_000, **to)
    same(f"{on}: unary, 1 MB each way", (it["code"], it.get("bytes")), ("OK", 1_000_000))
    same(f"{on}: metadata before", it["first"], "1")
    if server.name != "tonic":  # Its service sends none behind an answer.
        same(f"{on}: metadata behind", (it["last"], it["last_bin"]), ("2", "0001"))
    it = client.tell("down", bytes=20_000, **to)
    same(f"{on}: a stream down", (it["code"], it.get("bytes")), ("OK", 2_000_000))
    it = client.tell("up", bytes=20_000, **to)
    same(f"{on}: a stream up", (it["code"], it.get("bytes")), ("OK", 2_000_000))
    it = client.tell("both", messages=20, **to)
    same(f"{on}: streams by turns", (it["code"], it.get("messages"), it.get("in_order")), ("OK", 20, True))
    it = client.tell("unary", method="Fails", **to)
    same(f"{on}: a status of the service", (it["code"], it["message"], it["last"]), ("FAILED_PRECONDITION", "no: ä", "2"))
    same(f"{on}: an unknown method", client.tell("unary", method="Nothing", **to)["code"], "UNIMPLEMENTED")
    left = server.tell("told_left")["left"]
    it = client.tell("unary", method="Waits", deadline=0.3, **to)
    same(f"{on}: a deadline", it["code"], late(client, server))
    same(f"{on}: not before its time", it["seconds"] >= 0.29, True)
    same(f"{on}: a cancellation", client.tell("cancelled", after=0.2, **to)["code"], "CANCELLED")
    eventually(f"{on}: the service learns of both", lambda: server.tell("told_left")["left"] - left, 2)
    same(f"{on}: Check", client.tell("check", service="", **to).get("status"), "SERVING")
    same(f"{on}: Check of what is not there", client.tell("check", service="nothing", **to)["code"], "NOT_FOUND")
    same(f"{on}: Watch", client.tell("watch", service="", **to).get("status"), "SERVING")
    server.tell("serving", serving=False)
    same(f"{on}: Watch tells of a change", client.tell("watch", service="", **to).get("status"), "NOT_SERVING")
    same(f"{on}: Check tells the same", client.tell("check", service="", **to).get("status"), "NOT_SERVING")
    server.tell("serving", serving=True)
    same(f"{on}: Watch tells when it is over", client.tell("watch", service="", **to).get("status"), "SERVING")
    client.tell("unwatch", **to)
    same(f"{on}: 50 at once", client.tell("many", count=50, **to)["codes"], {"OK": 50})

    echo = {"Unary": 51, "Down": 1, "Up": 1, "Both": 1, "Fails": 1, "Nothing": 1, "Waits": 2}
    calls = {f"/test.Echo/{name}": count for name, count in echo.items()}
    calls |= {"/grpc.health.v1.Health/Check": 3, "/grpc.health.v1.Health/Watch": 1}
    records = journal.wait(sum(calls.values()))
    same(f"{on}: a record for each call", dict(collections.Counter(record["path"] for record in records)), calls)
    same(f"{on}: over HTTP/2", sorted({record["http_version"] for record in records}), ["2"])
    left = sorted({record["path"] for record in records if record["end"] != "answered"})
    same(f"{on}: those that their caller left", left, ["/grpc.health.v1.Health/Watch", "/test.Echo/Waits"])


ONE = ("unary", {"method": "Unary", "deadline": 2})
SHORT = ("unary", {"method": "Unary", "deadline": 0.3})
STREAM = ("down", {"bytes": 20_000, "deadline": 2})
SHORT_STREAM = ("down", {"bytes": 20_000, "deadline": 0.5})
CHECK = ("check", {"service": "", "deadline": 2})
WATCH = ("watch", {"service": ""})
TOO_LATE = {"": "DEADLINE_EXCEEDED", "tonic": "CANCELLED"}
BROKEN = {"": "UNAVAILABLE", "tonic": "UNKNOWN"}

# A fault, the call, and what each client sees of it: the code, or for one client another. Then how often it was injected, and the seconds
# that the call takes at least.
FAULTS = [
    ({"abort": {"status": 400}}, ONE, "INTERNAL", 1, 0),
    ({"abort": {"status": 401}}, ONE, "UNAUTHENTICATED", 1, 0),
    ({"abort": {"status": 403}}, ONE, "PERMISSION_DENIED", 1, 0),
    ({"abort": {"status": 404}}, ONE, "UNIMPLEMENTED", 1, 0),
    ({"abort": {"status": 429}}, ONE, "UNAVAILABLE", 1, 0),
    ({"abort": {"status": 500}}, ONE, "UNKNOWN", 1, 0),
    ({"abort": {"status": 503}}, ONE, "UNAVAILABLE", 1, 0),
    ({"abort": {"status": 503}}, STREAM, "UNAVAILABLE", 1, 0),
    ({"abort": {"status": 503, "at": "after"}}, STREAM, "UNAVAILABLE", 1, 0),
    ({"latency": "200ms"}, ONE, "OK", 1, 0.2),
    ({"latency": "200ms"}, STREAM, "OK", 1, 0.2),
    ({"latency": "1m"}, SHORT, TOO_LATE, 1, 0.29),
    # Without a margin the answer comes as the caller gives up, and either may be first.
    ({"latency": {"mode": "until_deadline", "margin": "100ms"}}, SHORT, TOO_LATE, 1, 0.29),
    ({"blackhole": {}}, SHORT, TOO_LATE, 1, 0.29),
    ({"stall": {"after_bytes": "50KB", "for": "30s"}}, SHORT_STREAM, {"": "DEADLINE_EXCEEDED", "tonic": "none"}, 1, 0.49),
    ({"reset": {}}, ONE, "INTERNAL", 1, 0),
    ({"reset": {"after_bytes": "50KB"}}, STREAM, "INTERNAL", 1, 0),
    ({"reset": {"code": "REFUSED_STREAM"}}, ONE, "UNAVAILABLE", {"": 1, "grpc-js": 2}, 0),
    ({"reset": {"code": "CANCEL"}}, ONE, "CANCELLED", 1, 0),
    ({"reset": {"code": "ENHANCE_YOUR_CALM"}}, ONE, "RESOURCE_EXHAUSTED", 1, 0),
    ({"reset": {"code": "INADEQUATE_SECURITY"}}, ONE, "PERMISSION_DENIED", 1, 0),
    ({"reset": {"scope": "connection"}}, ONE, BROKEN, 1, 0),
    ({"reset": {"scope": "connection", "after_bytes": "50KB"}}, STREAM, BROKEN, 1, 0),
    ({"close": {}}, ONE, "INTERNAL", 1, 0),
    ({"truncate": {"after_bytes": "50KB", "ending": "fin"}}, STREAM, "INTERNAL", 1, 0),
    ({"truncate": {"after_bytes": "50KB", "ending": "clean"}}, STREAM, {"": "INTERNAL", "grpcio": "UNKNOWN"}, 1, 0),
    ({"malformed": {"how": "header"}}, ONE, "INTERNAL", 1, 0),
    ({"refused_stream": {}}, ONE, "UNAVAILABLE", {"": 1, "grpc-js": 2}, 0),
    ({"goaway": {}}, ONE, "OK", 1, 0),
    ({"goaway": {"last_stream": "before"}}, ONE, {"": "UNAVAILABLE", "tonic": "INTERNAL"}, {"": 2, "tonic": 1}, 0),
    ({"abort": {}}, CHECK, "UNAVAILABLE", 1, 0),
    ({"latency": "200ms"}, CHECK, "OK", 1, 0.2),
    ({"reset": {}}, CHECK, "INTERNAL", 1, 0),
    ({"abort": {}}, WATCH, "UNAVAILABLE", 1, 0),
    ({"latency": "200ms"}, WATCH, "OK", 1, 0.2),
    ({"reset": {}}, WATCH, "INTERNAL", 1, 0),
]


def of(wanted, client):
    return wanted.get(client.name, wanted[""]) if isinstance(wanted, dict) else wanted


def faults(proxy, client, route, address):
    """One call under each fault: its code, its time, and the counts of the fault and of the journal. Gives codes and counts."""
    journal = Journal(proxy, route)
    for spec, (do, arguments), code, injected, seconds in FAULTS:
        what = f"{client.name}, {json.dumps(spec)}, {do}"
        with proxy.fault(route, **spec) as counters:
            it = client.tell(do, address=address, fresh=True, **arguments)
            counts = counters()
        if do == "watch" and it["code"] == "OK":
            client.tell("unwatch", address=address)
        same(what, it["code"], of(code, client))
        same(f"{what}, time", it["seconds"] >= seconds, True)
        same(f"{what}, counted", (counts["matched"], counts["injected"]), (of(injected, client),) * 2)
        struck = [record for record in journal.wait(of(injected, client)) if record.get("faults") == ["it"]]
        same(f"{what}, recorded", len(struck), of(injected, client))
        yield it["code"], counts["injected"]


def counts(proxy, client, route, address):
    """What many calls at once see of a fault by chance and of one with a limit is what was counted."""
    for spec, count, exact in [({"percent": 30}, 200, None), ({"limit": 7}, 50, 7)]:
        what = f"{client.name}, {count} calls, {spec}"
        journal = Journal(proxy, route)
        with proxy.fault(route, abort={"status": 503}, match={"grpc_method": "test.Echo/*"}, **spec) as counters:
            codes = client.tell("many", address=address, fresh=True, count=count)["codes"]
            same(f"{what}: Check is not meant", client.tell("check", address=address, service="").get("status"), "SERVING")
            seen = counters()
        failed = codes.get("UNAVAILABLE", 0)
        same(f"{what}: no other code", codes.get("OK", 0) + failed, count)
        same(f"{what}: injected", seen["injected"], failed)
        same(f"{what}: some", 0 < failed < count, True)
        if exact:
            same(f"{what}: as many as the limit", failed, exact)
        records = journal.wait(count + 1)
        same(f"{what}: recorded", len(records), count + 1)
        same(f"{what}: struck", sum(record.get("faults") == ["it"] for record in records), failed)


def health_alone(proxy, client, route, address):
    """A service that works and says that it does not."""
    with proxy.fault(route, abort={"status": 503}, match={"grpc_method": "grpc.health.v1.Health/*"}) as counters:
        same(f"{client.name}: Check alone", client.tell("check", address=address, service="")["code"], "UNAVAILABLE")
        same(f"{client.name}: Watch alone", client.tell("watch", address=address, service="")["code"], "UNAVAILABLE")
        same(f"{client.name}: calls go on", client.tell("unary", address=address, method="Unary")["code"], "OK")
        same(f"{client.name}: health checks counted", counters()["injected"], 2)


def again(proxy, client, route, address):
    """Retries by service config, which tonic does not know."""
    for limit, code, injected in [(2, "OK", 2), (100, "UNAVAILABLE", 4)]:
        with proxy.fault(route, abort={"status": 503}, limit=limit) as counters:
            it = client.tell("unary", address=address, method="Unary", retries=True, fresh=True)
            same(f"{client.name}: four attempts, {limit} aborted", (it["code"], counters()["injected"]), (code, injected))


def gone(proxy, client):
    """Nobody where the route leads to."""
    route = f"{client.name}-gone"
    address = proxy.route(route, "http://127.0.0.1:1", protocol="h2")
    same(f"{client.name}: no upstream", client.tell("unary", address=address, method="Unary")["code"], "UNAVAILABLE")


def encrypted(proxy, client, server):
    """TLS from the client to one route, from that to another, and plain from there."""
    inner = proxy.route(f"{server.name}-inner", f"http://127.0.0.1:{server.port}", protocol="h2", tls="self")
    outer = proxy.route(f"{server.name}-outer", f"https://{inner}", protocol="h2", tls="self", upstream_tls={"ca": str(proxy.authority)})
    to = {"address": f"localhost:{outer.rsplit(':', 1)[1]}", "authority": str(proxy.authority)}
    plain(client, server, Journal(proxy, f"{server.name}-outer"), **to)
    with proxy.fault(f"{server.name}-inner", abort={"status": 503}) as counters:
        same(f"{client.name} in TLS: abort", client.tell("unary", method="Unary", **to)["code"], "UNAVAILABLE")
        same(f"{client.name} in TLS: counted", counters()["injected"], 1)


def row(spec, do, by_client):
    kind, parameters = next(iter(spec.items()))
    said = parameters if isinstance(parameters, str) else " ".join(f"{key} {value}" for key, value in parameters.items())
    call = {"unary": "unary", "down": "stream", "check": "Check", "watch": "Watch"}[do]
    cells = [f"{code}{f' ({injected} injected)' if injected != 1 else ''}" for code, injected in by_client]
    return f"| {f'`{kind}` {said}'.strip()} | {call} | {' | '.join(cells)} |"


with contextlib.ExitStack() as stack:
    proxy = stack.enter_context(testbed.proxy(brownout))
    peers = []
    for name, command in (it.split("=", 1) for it in commands):
        process = stack.enter_context(testbed.running(shlex.split(command), stdin=-1))
        peers.append(Peer(name, process))
    routes = {peer.name: proxy.route(peer.name, f"http://127.0.0.1:{peer.port}", protocol="h2") for peer in peers}
    columns = []
    for client in peers:
        begun, before = time.monotonic(), checked
        for server in peers:
            plain(client, server, Journal(proxy, server.name), address=routes[server.name])
        mine = (proxy, client, client.name, routes[client.name])
        columns.append(list(faults(*mine)))
        counts(*mine)
        health_alone(*mine)
        if client.name != "tonic":
            again(*mine)
        gone(proxy, client)
        encrypted(proxy, client, client)
        print(f"{client.name} {client.version}: {checked - before} checks in {time.monotonic() - begun:.0f} s", flush=True)
    if page:
        versions = ", ".join(f"{peer.name} {peer.version}" for peer in peers)
        lines = [f"| fault | call | {' | '.join(peer.name for peer in peers)} |", f"|---|---|{'---|' * len(peers)}"]
        lines += [row(spec, do, seen) for (spec, (do, _), *_), *seen in zip(FAULTS, *columns)]
        text = (HERE / "page.md").read_text().replace("VERSIONS", versions).replace("TABLE", "\n".join(lines))
        pathlib.Path(page).write_text(text)
if wrong:
    sys.exit(f"{len(wrong)} of {checked} checks are wrong")
print(f"ok: {checked} checks")
