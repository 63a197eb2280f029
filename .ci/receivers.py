"""What .ci/receivers needs besides the programs that it starts: a client, a stand-in for Telegraf, and comparisons."""

import glob
import http.client
import json
import pathlib
import re
import signal
import socket
import sys
import time
import tomllib
import urllib.parse
import urllib.request
from collections import defaultdict


def ask(address, method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
    response = connection.getresponse()
    return response, response.read()


def outage(ready, saw, seconds):
    """Pages before, during and after an outage, for `seconds` or more; writes what they must have been counted as."""
    ready = json.load(open(ready))
    control, homepage = ready["control"], ready["services"]["homepage"]
    pages, degraded = defaultdict(int), 0
    injected = defaultdict(int)

    def load(count):
        nonlocal degraded
        begun = time.monotonic()
        asked = 0
        while asked < count or time.monotonic() - begun < float(seconds) / 5:
            response, _ = ask(homepage, "GET", "/", headers={"Authorization": "Token 0x132"})
            asked += 1
            # Authentication has no fallback: on a machine too busy to answer within half a second that page is a 500.
            pages[f"{response.status // 100}xx"] += 1
            degraded += "recommendations" in response.getheader("x-degraded", "")

    load(40)
    for route, fault, count in (
        ("recommendations", {"latency": "120ms"}, 40),
        ("recommendations", {"reset": {}}, 40),
        # Longer than an attempt may take.
        ("popular-items", {"latency": "900ms", "limit": 3}, 5),
    ):
        response, body = ask(control, "POST", "/faults", {"route": route, **fault})
        assert response.status == 201, body
        load(count)
        _, body = ask(control, "GET", "/faults/" + json.loads(body)["id"])
        injected[f"{route}.{next(iter(fault))}"] += json.loads(body)["counters"]["injected"]
        ask(control, "DELETE", "/faults")
    load(40)
    assert 0 < degraded < pages["2xx"], (pages, degraded)
    expected = {
        "homepage.get": sum(pages.values()),
        "client.calls.homepage.recommendations": pages["2xx"],
        "client.fallbacks.homepage.recommendations": degraded,
    }
    for status, count in pages.items():
        expected[f"homepage.responses.{status}"] = count
    for fault, count in injected.items():
        expected[f"fault.injected.{fault}"] = count
    _, body = ask(control, "GET", "/routes")
    for route in json.loads(body)["routes"]:
        expected[f"proxy.requests.{route['name']}"] = route["requests"]
        expected[f"proxy.latency.{route['name']}.count"] = route["requests"]
    json.dump(expected, open(saw, "w"))
    print(f"a client saw {sum(pages.values())} pages, {degraded} of them degraded: {dict(pages)}")


def get(url, **query):
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}") as response:
        return response.read().decode()


def in_victoria(url, name):
    # The daemon stores each flush by itself.
    lines = get(f"{url}/api/v1/export", **{"match[]": f'{{__name__="stats.counters.{name}.count"}}'}).splitlines()
    return sum(sum(json.loads(line)["values"]) for line in lines)


def in_netdata(url, name):
    # Its charts are of rates between whole seconds. The total that the parser has counted is exported as it is.
    lines = get(f"{url}/api/v1/allmetrics", format="prometheus", source="as-collected").splitlines()
    return sum(float(line.split()[-2]) for line in lines if f'chart="statsd_{name}_counter"' in line)


def in_influxdb(url, name):
    measurement, field, tags = Templates("compose/telegraf.conf").apply(name)
    where = " AND ".join(f"\"{key}\" = '{value}'" for key, value in tags.items()) or "time > 0"
    answer = influx(url, f'SELECT sum("{field}") FROM "{measurement}" WHERE {where}')
    series = answer["results"][0].get("series", [])
    return series[0]["values"][0][1] if series else 0


def compare(saw, store, url):
    """Reads what a store has, until it has what the client saw, for at most 30 s: stores flush now and then."""
    read = {"victoria": in_victoria, "netdata": in_netdata, "influxdb": in_influxdb}[store]
    expected = json.load(open(saw))
    for _ in range(60):
        stored = {name: read(url, name) for name in expected}
        if stored == expected:
            break
        time.sleep(0.5)
    for name, count in expected.items():
        print(f"{'=' if stored[name] == count else '!'} {name:<50} sent {count:>6}  stored {stored[name]:>6.0f}")
    sys.exit(f"FAILED: {store} has other numbers" if stored != expected else 0)


class Templates:
    """Telegraf's templates: the words of a name, found by its longest filter, are measurement, field or a tag."""

    def __init__(self, config):
        statsd = tomllib.load(open(config, "rb"))["inputs"]["statsd"][0]
        self.joiner = statsd["metric_separator"]
        self.by_filter = {tuple(it.split()[0].split(".")): it.split()[1].split(".") for it in statsd["templates"]}

    def apply(self, name):
        words = name.split(".")
        found = max(
            (len(it), it) for it in self.by_filter if it == ("*",) and len(it) == 1 or it == tuple(words[: len(it)])
        )[1]
        if found == ("*",):
            # A filter of the same length that says the word goes first.
            found = (words[0],) if (words[0],) in self.by_filter else found
        parts = defaultdict(list)
        for index, part in enumerate(self.by_filter[found]):
            if part.endswith("*"):
                parts[part[:-1]] += words[index:]
            elif index < len(words):
                parts[part].append(words[index])
        joined = {key: self.joiner.join(values) for key, values in parts.items()}
        return joined.pop("measurement"), joined.pop("field"), joined


def telegraf(config, port, url):
    """Takes statsd lines on a port and writes them to InfluxDB each second, until it is told to end."""
    templates = Templates(config)
    incoming = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    incoming.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    incoming.bind(("127.0.0.1", int(port)))
    incoming.settimeout(0.1)
    is_over = []
    signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
    counters, gauges = defaultdict(int), {}

    def escaped(text):
        return re.sub(r"([,= ])", r"\\\1", text)

    def write():
        lines = []
        now = time.time_ns()
        for values, suffix in ((counters, "i"), (gauges, "")):
            for name, value in values.items():
                measurement, field, tags = templates.apply(name)
                key = "".join(f",{escaped(tag)}={escaped(word)}" for tag, word in sorted(tags.items()))
                lines.append(f"{escaped(measurement)}{key} {escaped(field)}={value}{suffix} {now}")
            values.clear()
        if lines:
            body = "\n".join(lines).encode()
            urllib.request.urlopen(urllib.request.Request(f"{url}/write?db=brownout", data=body)).close()

    print("ready", flush=True)
    written = time.monotonic()
    while True:
        try:
            packet = incoming.recv(65535).decode()
        except TimeoutError:
            packet = ""
        for line in packet.splitlines():
            name, value, kind = re.fullmatch(r"([^:|]+):([^|]+)\|(c|g)", line).groups()
            if kind == "c":
                counters[name] += int(value)
            else:
                gauges[name] = float(value)
        if time.monotonic() - written >= 1 or (is_over and not packet):
            written = time.monotonic()
            write()
            if is_over:
                return


def influx(url, query):
    answer = json.loads(get(f"{url}/query", db="brownout", epoch="ms", q=query))
    problems = [result["error"] for result in answer["results"] if "error" in result]
    if problems:
        sys.exit(f"FAILED: {query}: {problems}")
    return answer


# What a short outage of one upstream does not bring about, without bodies that are sent and without a collector: the
# queries are right if they bring nothing.
QUIET = {"hedges", "retry_budget_exhausted", "refused", "timeout", "upstream_retries", "bulkhead_free",
         "bytes_in", "spans_exported", "spans_dropped"}


def dashboards(folder, url):
    """Asks every query as Grafana would with all routes and clients chosen; each must bring something."""
    asked, quiet, empty = 0, 0, []
    for path in sorted(glob.glob(f"{folder}/*.json")):
        board = json.load(open(path))
        queries = [(panel["title"], target["query"]) for panel in board["panels"] for target in panel["targets"]]
        queries += [(it["name"], it["target"]["query"]) for it in board["annotations"]["list"]]
        queries += [(it["name"], it["query"]) for it in board["templating"]["list"]]
        for title, query in queries:
            query = query.replace("$timeFilter", "time > now() - 1h").replace("$__interval_ms", "5000")
            query = re.sub(r"\$(route|client)\b", ".*", query.replace("$__interval", "5s"))
            assert "$" not in query.replace("$/", "/"), query
            series = influx(url, query)["results"][0].get("series", [])
            values = [value for it in series for row in it["values"] for value in row[1:] if value is not None]
            asked += 1
            field = re.search(r'"([^"]+)"', query)[1]
            if any(values):
                continue
            # A gauge that was asked at a moment when it was zero has answered.
            if field in QUIET or field == "active" and values:
                quiet += 1
            else:
                empty.append(f"{pathlib.Path(path).name}: {title}: {query}")
    print(f"{asked} queries: {asked - quiet - len(empty)} answered, {quiet} of what did not happen, {len(empty)} without an answer")
    sys.exit("FAILED: nothing came for\n" + "\n".join(empty) if empty else 0)


if __name__ == "__main__":
    {it.__name__: it for it in (outage, compare, telegraf, dashboards)}[sys.argv[1]](*sys.argv[2:])
