"""Runs clients with HTTP/2 against each fault that they can be shown, and writes what they say as docs/clients-http2.md.

Started by `http2`, which gets the clients: http2.py BROWNOUT PYTHON PAGE.
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import urllib.request

brownout, python, page = sys.argv[1:]
here = pathlib.Path(__file__).parent
PATIENCE = 10  # seconds, for clients whose timeout does not help them
UPLOAD = 300_000  # bytes

# What is armed, and what it is in words. The last tells how much a request sends.
FAULTS = [
    ("abort", {}, "An answer with status 503.", 0),
    ("reset", {}, "RST_STREAM with INTERNAL_ERROR, before a byte of an answer.", 0),
    ("reset", {"code": "HTTP_1_1_REQUIRED"}, "RST_STREAM with a code that asks for HTTP/1.1.", 0),
    ("reset", {"after_bytes": "16KiB"}, "RST_STREAM after 16 KiB of the body.", 0),
    ("reset", {"scope": "connection"}, "A TCP reset of the connection, with all of its streams.", 0),
    ("refused_stream", {}, "RST_STREAM with REFUSED_STREAM: the request was not processed.", 0),
    ("goaway", {}, "GOAWAY behind the request, which is answered.", 0),
    ("goaway", {"last_stream": "before"}, "GOAWAY that says that the request was not processed.", 0),
    ("goaway", {"code": "ENHANCE_YOUR_CALM", "last_stream": 0}, "GOAWAY with an error, that says that nothing was processed.", 0),
    ("close", {}, "RST_STREAM in place of an answer.", 0),
    ("blackhole", {}, "The request is taken and never answered.", 0),
    ("truncate", {"fraction": 0.5, "ending": "fin"}, "RST_STREAM after half of the promised body.", 0),
    ("truncate", {"fraction": 0.5, "ending": "clean"}, "Half of the body, framed so that it looks whole.", 0),
    ("stall", {"after_bytes": "16KiB", "for": "30s"}, "The body stops after 16 KiB.", 0),
    ("flow_control_stall", {"for": "30s"}, "No credit for the content of a request of 300 kB.", UPLOAD),
    ("settings", {"max_concurrent_streams": 0}, "No further stream may be opened; the request is answered.", 0),
    ("malformed", {"how": "frame"}, "A DATA frame on stream 0.", 0),
    ("malformed", {"how": "header"}, "A field with a NUL byte, which no stream can carry: RST_STREAM.", 0),
]

content = tempfile.NamedTemporaryFile()
content.write(bytes(UPLOAD))
content.flush()


def curl(url, times, size):
    sends = ["--data-binary", f"@{content.name}"] if size else []
    first = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", "2", "-w", "%{http_code}, %{size_download} bytes\n", *sends]
    return first + [part for _ in range(times) for part in ("-o", "/dev/null", url)]


CLIENTS = {
    "curl": curl,
    "nghttp": lambda url, times, size: ["nghttp", "-n", "-t", "2", *(["-d", content.name] if size else []), *[url] * times],
    "httpx": lambda url, times, size: [python, here / "http2_client.py", url, str(times), str(size)],
    "Node http2": lambda url, times, size: ["node", here / "http2_client.mjs", url, str(times), str(size)],
}
NEEDS = {"curl": "curl", "nghttp": "nghttp", "Node http2": "node"}


def version(client):
    command = [python, "-c", "import httpx; print(httpx.__version__)"] if client == "httpx" else [NEEDS[client], "--version"]
    return re.search(r"\d+\.\d+[\d.]*", subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]


def call(method, path, body=None):
    request = urllib.request.Request(f"http://{control}{path}", method=method, data=body and json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def words(client, result):
    """One line, without what differs from run to run."""
    out, err = result.stdout.strip(), result.stderr.strip()
    if client == "curl" and err:
        text = f"{err.splitlines()[-1]} (`{out.splitlines()[-1]}`)" if out else err.splitlines()[-1]
    elif client == "nghttp":
        text = " ".join((err or out or "nothing wrong").splitlines())
    else:
        text = (out or err or "nothing").splitlines()[-1]
    text = text.replace(address, "HOST").replace("127.0.0.1", "HOST")
    text = re.sub(r"after \d+ m(illi)?s(econds)?", "after TIME", text)
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= 240 else text[:237] + "..."


def run(client, fault, times):
    kind, parameters, _, size = fault
    # The first of two requests opens the connection, unharmed.
    spec = {"id": "it", "route": "web", kind: parameters}
    if times > 1:
        spec["skip_first"] = times - 1
    call("PUT", "/faults/it", spec)
    try:
        command = CLIENTS[client](f"http://{address}/", times, size)
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL, errors="replace")
        text = words(client, result)
    except subprocess.TimeoutExpired:
        text = f"**still waits after {PATIENCE} s**"
    sent = call("GET", "/faults/it")["counters"]["injected"]
    call("DELETE", "/faults/it")
    return text, sent


def table(fault, say):
    yield "| client | on a new connection | on a warm one | injected |"
    yield "|---|---|---|--:|"
    for client in say:
        new, sent = run(client, fault, 1)
        if client in ("curl", "nghttp"):
            # curl 7.88.1 fails when it uses such a connection again, whoever serves it; requests of nghttp go out at once.
            yield f"| {client} | {new} | | {sent} |"
            continue
        warm, sent_warm = run(client, fault, 2)
        warm = "the same" if warm == new else warm
        yield f"| {client} | {new} | {warm} | {sent if sent == sent_warm else f'{sent}, warm {sent_warm}'} |"


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
    lines = [(here / "http2.md").read_text().replace("VERSIONS", ", ".join(f"{client} {version(client)}" for client in clients))]
    for fault in FAULTS:
        kind, parameters, meaning, _ = fault
        title = " ".join([f"`{kind}`"] + [f"{key} {value}" for key, value in parameters.items()])
        print(title.replace("`", ""), flush=True)
        body = json.dumps({"route": "web", kind: parameters}, separators=(",", ":"))
        lines += [f"## {title}", "", meaning, "", "```sh", f"curl -X POST localhost:8474/faults -d {shlex.quote(body)}", "```", ""]
        lines += [*table(fault, clients), ""]
    pathlib.Path(page).write_text("\n".join(lines).rstrip() + "\n")
finally:
    for process in (proxy, upstream):
        if process:
            process.terminate()
            process.wait(10)
