"""Runs each client against each fault that ends a request, and writes what its programmer sees: docs/clients.md for the faults that act
on both versions of HTTP, docs/clients-http2.md for those of HTTP/2 alone.

Started by `matrix`, which gets the clients: matrix.py BROWNOUT RUST_CLIENT PYTHON JAVA_CLASSES PAGE PAGE_HTTP2.
"""

import json
import pathlib
import shlex
import sys

import testbed
from clients import HERE, UPLOAD, clients, outcome, version

brownout, rust, python, java, page, page_http2 = sys.argv[1:]

# What is armed, and what it is in words: over HTTP/1.1, and over HTTP/2.
FAULTS = [
    ("abort", {}, "An answer with status 503, with a whole body."),
    ("reset", {}, "RST before a byte of an answer; over HTTP/2 RST_STREAM with INTERNAL_ERROR."),
    ("reset", {"at": "response_head"}, "The same once the upstream has answered: it did the work."),
    ("reset", {"after_bytes": "16KiB"}, "The same after 16 KiB of the body."),
    ("close", {}, "FIN before a byte of an answer: the empty reply. Over HTTP/2 RST_STREAM."),
    ("refuse", {}, "Nobody listens. Open connections stay, so a warm one does not notice."),
    ("blackhole", {}, "The request is taken and never answered."),
    ("truncate", {"fraction": 0.5, "ending": "fin"}, "FIN after half of the promised body; over HTTP/2 RST_STREAM."),
    ("truncate", {"fraction": 0.5, "ending": "rst"}, "RST after half of the promised body; over HTTP/2 RST_STREAM."),
    ("truncate", {"fraction": 0.5, "ending": "clean"}, "Half of the body, framed so that it looks whole."),
    ("stall", {"after_bytes": "16KiB", "for": "30s"}, "The body stops after 16 KiB, the connection stays."),
    ("malformed", {"how": "chunk"}, "A chunk size that is no number. Over HTTP/2, where no answer can be malformed so, RST_STREAM with PROTOCOL_ERROR, here and below."),
    ("malformed", {"how": "header"}, "An illegal byte in a field."),
    ("malformed", {"how": "status_line"}, "A status line without a status."),
    ("malformed", {"how": "random"}, "Bytes by chance."),
    ("malformed", {"how": "dup_content_length"}, "Two lengths that differ."),
    ("malformed", {"how": "oversized_header"}, "A field larger than most accept."),
    ("corrupt", {"how": "encoding"}, "A charset that is wrong: nobody looks."),
    ("corrupt", {"how": "flip", "rate": 0.0001}, "Turned bits in the body: nobody can know."),
]
FAULTS_HTTP2 = [
    ("reset", {"code": "HTTP_1_1_REQUIRED"}, "RST_STREAM with a code that asks for HTTP/1.1."),
    ("reset", {"scope": "connection"}, "A TCP reset of the connection, with all of its streams."),
    ("refused_stream", {}, "RST_STREAM with REFUSED_STREAM: the request was not processed."),
    ("goaway", {}, "GOAWAY behind the request, which is answered."),
    ("goaway", {"last_stream": "before"}, "GOAWAY that says that the request was not processed."),
    ("goaway", {"code": "ENHANCE_YOUR_CALM", "last_stream": 0}, "GOAWAY with an error, that says that nothing was processed."),
    ("flow_control_stall", {"for": "30s"}, "No credit for the content of a request of 300 kB."),
    ("settings", {"max_concurrent_streams": 0}, "No further stream may be opened; the request is answered."),
    ("malformed", {"how": "frame"}, "A DATA frame on stream 0."),
]


def ask(client, kind, parameters, times):
    """What the client says of the last of its requests, and how often the fault acted. The first opens the connection, unharmed."""
    spec = {kind: parameters, **({"skip_first": times - 1} if times > 1 else {})}
    route = "web-tls" if client.tls else "web"
    with proxy.fault(route, **spec) as counters:
        text = client.ask(hosts[route], times, UPLOAD if kind == "flow_control_stall" else 0)
        return text, counters()["injected"]


def title_of(kind, parameters):
    return " ".join([f"`{kind}`"] + [f"{key} {value}" for key, value in parameters.items()])


def section(kind, parameters, meaning, asked):
    """The lines of a fault, and of each client its words for the table at the top."""
    title = title_of(kind, parameters)
    print(title.replace("`", ""), flush=True)
    body = json.dumps({"route": "web", kind: parameters}, separators=(",", ":"))
    lines = [f"## {title}", "", meaning, "", "```sh", f"curl -X POST localhost:8474/faults -d {shlex.quote(body)}", "```", ""]
    lines += ["| client | on a new connection | on a warm one | times it asked |", "|---|---|---|--:|"]
    brief = {}
    for client in asked:
        new, sent = ask(client, kind, parameters, 1)
        brief[client.name] = outcome(new) + (" again" if sent > 1 else "")
        if client.name == "wrk":
            lines.append(f"| wrk | {new} | | |")
        elif kind == "refuse":
            lines.append(f"| {client.name} | {new} | | |")
        elif not client.warm:
            lines.append(f"| {client.name} | {new} | | {sent} |")
        else:
            warm, sent_warm = ask(client, kind, parameters, 2)
            asked_times = f"{sent}" if sent == sent_warm else f"{sent}, warm {sent_warm}"
            lines.append(f"| {client.name} | {new} | {'the same' if warm == new else warm} | {asked_times} |")
            if sent_warm > 1 >= sent:
                brief[client.name] += ", warm again"
    return [*lines, ""], brief


def write(path, template, faults, asked):
    """A page: its beginning, the table of all faults and clients, and a section for each fault."""
    shown = [client for client in asked if client.warm]
    versions = ", ".join(dict.fromkeys(f"{client.name.removesuffix(' HTTP/2')} {version(client, python)}" for client in asked))
    table = [f"| fault | {' | '.join(client.name for client in shown)} |", f"|---|{'---|' * len(shown)}"]
    sections = []
    for kind, parameters, meaning in faults:
        lines, brief = section(kind, parameters, meaning, asked)
        sections += lines
        table.append(f"| {title_of(kind, parameters)} | {' | '.join(brief[client.name] for client in shown)} |")
    text = (HERE / template).read_text().replace("VERSIONS", versions).replace("TABLE\n", "\n".join(table) + "\n")
    pathlib.Path(path).write_text(text.rstrip() + "\n\n" + "\n".join(sections).rstrip() + "\n")


with testbed.upstream() as port, testbed.proxy(brownout) as proxy:
    upstream = f"http://127.0.0.1:{port}"
    hosts = {"web": proxy.route("web", upstream), "web-tls": proxy.route("web-tls", upstream, tls="self")}
    hosts["web-tls"] = hosts["web-tls"].replace("127.0.0.1", "localhost")
    there = clients(python, rust, java, proxy.authority)
    write(page, "page.md", FAULTS, there)
    write(page_http2, "page-http2.md", FAULTS_HTTP2, [client for client in there if client.http2])
