"""Runs each client against each fault that ends a request, and writes what its programmer sees as docs/clients.md.

Started by `matrix`, which gets the clients: matrix.py BROWNOUT RUST_CLIENT PYTHON JAVA_CLASSES PAGE.
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request

brownout, rust, python, java, page = sys.argv[1:]
here = pathlib.Path(__file__).parent
PATIENCE = 10  # seconds, for clients whose timeout does not help them

# What is armed, and what it is in words.
FAULTS = [
    ("abort", {}, "An answer with status 503, with a whole body."),
    ("reset", {}, "RST before a byte of an answer."),
    ("reset", {"at": "response_head"}, "RST once the upstream has answered: it did the work."),
    ("reset", {"after_bytes": "16KiB"}, "RST after 16 KiB of the body."),
    ("close", {}, "FIN before a byte of an answer: the empty reply."),
    ("refuse", {}, "Nobody listens. Open connections stay, so a warm one does not notice."),
    ("blackhole", {}, "The request is taken and never answered."),
    ("truncate", {"fraction": 0.5, "ending": "fin"}, "FIN after half of the promised body."),
    ("truncate", {"fraction": 0.5, "ending": "rst"}, "RST after half of the promised body."),
    ("truncate", {"fraction": 0.5, "ending": "clean"}, "Half of the body, framed so that it looks whole."),
    ("stall", {"after_bytes": "16KiB", "for": "30s"}, "The body stops after 16 KiB, the connection stays."),
    ("malformed", {"how": "chunk"}, "A chunk size that is no number."),
    ("malformed", {"how": "header"}, "An illegal byte in a field."),
    ("malformed", {"how": "status_line"}, "A status line without a status."),
    ("malformed", {"how": "random"}, "Bytes by chance."),
    ("malformed", {"how": "dup_content_length"}, "Two lengths that differ."),
    ("malformed", {"how": "oversized_header"}, "A field larger than most accept."),
    ("corrupt", {"how": "encoding"}, "A charset that is wrong: nobody looks."),
    ("corrupt", {"how": "flip", "rate": 0.0001}, "Turned bits in the body: nobody can know."),
]


def curl(url, times):
    return ["curl", "-sS", "--max-time", "2", "-o", "/dev/null", "-w", "%{http_code}, %{size_download} bytes\n"] + [
        part for _ in range(times - 1) for part in (url, "-o", "/dev/null")
    ] + [url]


CLIENTS = {
    "curl": curl,
    "wrk": lambda url, _: ["wrk", "-t1", "-c1", "-d3s", "--timeout", "2s", url],
    "requests": lambda url, times: [python, here / "python_client.py", "requests", url, str(times)],
    "httpx": lambda url, times: [python, here / "python_client.py", "httpx", url, str(times)],
    "Node fetch": lambda url, times: ["node", here / "node_client.mjs", url, str(times)],
    "java.net.http": lambda url, times: ["java", "-cp", java, "JavaClient", url, str(times)],
    "reqwest": lambda url, times: [rust, "reqwest", url, str(times)],
    "hyper": lambda url, times: [rust, "hyper", url, str(times)],
}
NEEDS = {"curl": "curl", "wrk": "wrk", "Node fetch": "node", "java.net.http": "javac"}


def said(command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def version(client):
    if client in ("requests", "httpx"):
        return said([python, "-c", f"import {client}; print({client}.__version__)"]).strip()
    if client in ("reqwest", "hyper"):
        lock = (here.parent.parent / "Cargo.lock").read_text()
        return re.search(rf'name = "{client}"\nversion = "([^"]+)"', lock)[1]
    if client == "wrk":
        return re.search(r"wrk (?:debian/)?([\d.]+)", said(["wrk", "-v"]))[1]
    return re.search(r"\d+\.\d+[\d.]*", said([NEEDS[client], "--version"]))[0]


def call(method, path, body=None):
    request = urllib.request.Request(f"http://{control}{path}", method=method, data=body and json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def words(client, result):
    """One line, without what differs from run to run."""
    out, err = result.stdout.strip(), result.stderr.strip()
    if client == "wrk":
        if err:
            text = err.splitlines()[-1]
        else:
            errors = re.findall(r"(connect|read|write|timeout) [1-9]", out)
            parts = [f"socket errors: {', '.join(errors)}"] if errors else []
            if "Non-2xx" in out:
                parts.append("non-2xx or 3xx responses")
            if re.search(r"\b0 requests in", out):
                parts.append("no request done")
            text = "; ".join(parts) or "nothing wrong"
    elif client == "curl":
        text = err.splitlines()[-1] if err else out.splitlines()[-1]
        if err and out:
            text += f" (`{out.splitlines()[-1]}`)"
    else:
        text = " ".join((out or err).splitlines()) or "nothing"
    text = text.replace(address, "HOST").replace(f"port {address.split(':')[1]}", "port PORT").replace("127.0.0.1", "HOST")
    text = re.sub(r"port=\d+|object at 0x[0-9a-f]+|after \d+ m(illi)?s(econds)?", lambda it: {"p": "port=PORT", "o": "object", "a": "after TIME"}[it[0][0]], text)
    text = text.replace("|", "\\|").replace("<", "&lt;")
    text = re.sub(r"BadStatusLine\((?!'HTTP).*", "BadStatusLine(...)", text)  # Bytes by chance.
    text = re.sub(r'Invalid status line: "(?!HTTP).*', 'Invalid status line: "..."', text)
    text = "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in text)
    return text if len(text) <= 240 else text[:237] + "..."


def run(client, fault, times):
    kind, parameters = fault
    # The first of two requests opens the connection, unharmed.
    spec = {"id": "it", "route": "web", kind: parameters}
    if times > 1:
        spec["skip_first"] = times - 1
    call("PUT", "/faults/it", spec)
    begun = time.monotonic()
    try:
        result = subprocess.run(CLIENTS[client](f"http://{address}/", times), capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL, errors="replace")
        text = words(client, result)
    except subprocess.TimeoutExpired:
        text = f"**still waits after {PATIENCE} s**"
    took = time.monotonic() - begun
    sent = call("GET", "/faults/it")["counters"]["injected"]
    call("DELETE", "/faults/it")
    return text, sent, took


def table(fault, say):
    kind, parameters = fault
    yield "| client | on a new connection | on a warm one | times it asked |"
    yield "|---|---|---|--:|"
    for client in say:
        new, sent, _ = run(client, fault, 1)
        if client == "wrk":
            yield f"| wrk | {new} | | |"
            continue
        if kind == "refuse":
            yield f"| {client} | {new} | | |"
            continue
        warm, sent_warm, _ = run(client, fault, 2)
        warm = "the same" if warm == new else warm
        asked = f"{sent}" if sent == sent_warm else f"{sent}, warm {sent_warm}"
        yield f"| {client} | {new} | {warm} | {asked} |"


clients = []
for client in CLIENTS:
    if client in NEEDS and not shutil.which(NEEDS[client]):
        print(f"skipped: {NEEDS[client]} is not installed")
    else:
        clients.append(client)

upstream = subprocess.Popen([sys.executable, here / "upstream.py"], stdout=subprocess.PIPE, text=True)
proxy = None
try:
    port = upstream.stdout.readline().strip()
    proxy = subprocess.Popen(
        [brownout, "proxy", "--route", f"web=127.0.0.1:0=http://127.0.0.1:{port}", "--control", "127.0.0.1:0", "--seed", "7", "--output", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    ready = json.loads(proxy.stdout.readline())
    control, address = ready["control"], ready["routes"]["web"]

    text = (here / "page.md").read_text()
    text = text.replace("VERSIONS", ", ".join(f"{client} {version(client)}" for client in clients))
    lines = [text]
    for kind, parameters, meaning in FAULTS:
        title = " ".join([f"`{kind}`"] + [f"{key} {value}" for key, value in parameters.items()])
        print(title.replace("`", ""), flush=True)
        body = json.dumps({"route": "web", kind: parameters}, separators=(",", ":"))
        lines += [f"## {title}", "", meaning, "", "```sh", f"curl -X POST localhost:8474/faults -d {shlex.quote(body)}", "```", ""]
        lines += [*table((kind, parameters), clients), ""]
    pathlib.Path(page).write_text("\n".join(lines).rstrip() + "\n")
finally:
    for process in (proxy, upstream):
        if process:
            process.terminate()
            process.wait(10)
