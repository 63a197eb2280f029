"""Writes what fuzzing begins with: the faults of the reference page, and some exchanges under each fault."""

import json
import pathlib
import re

here = pathlib.Path(__file__).parent
corpus = here / "corpus"


def write(target, name, content):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(content)


page = (here / "../../docs/faults.md").read_text()
for number, text in enumerate(re.findall(r"-d '(\{.*?\})'$", page, re.M)):
    json.loads(text)
    write("fault", f"json-{number}", text.encode() + b'\0{"percent":12.5,"ttl":"2m"}')
for number, text in enumerate(re.findall(r"```toml\n(.*?)```", page, re.S)):
    write("fault", f"toml-{number}", text.replace("[[fault]]\n", "").encode())
common = {
    "route": ["web", "api"], "percent": "1/1000", "match": {"method": ["GET"], "path": "re:^/v1/", "not_path": "/health", "host": "a*",
    "header": {"x-user": "user-7"}, "query": {"q": "1"}, "cookie": {"sid": "*"}, "client": ["127.0.0.0/8"], "baggage": {"a": "b"}},
    "per": "header:x-user", "skip_first": 1, "every": 2, "offset": 1, "limit": 3, "start": "1s", "ttl": "none", "max_active": 10,
    "seed": 7, "priority": -1, "stealth": True, "note": "why", "abort": {"statuses": {"503": 3, "500": 1}},
}
for key, more in {
    "ramp": {"up": "10s", "down": "5s", "shape": "linear", "of": "percent"}, "wave": {"period": "20s", "duty": 0.5},
    "pulses": [{"start": "1s", "duration": "2s"}], "burst": {"p_bad": 0.1, "p_good": 0.5},
    "nemesis": {"every": "10s", "for": "2s"}, "group": "zone-a",
}.items():
    write("fault", f"common-{key}", json.dumps(common | {key: more}).encode())

requests = [
    b"GET / HTTP/1.1\r\nhost: web\r\n\r\n",
    b"GET /a?b=c HTTP/1.0\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
    b"POST /p HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nhello",
    b"POST /p HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\nte: trailers\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
    b"PUT /p HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nhost: web\r\n\r\nGET /two HTTP/1.1\r\nhost: web\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x01a",
    b"GET http://web/abs HTTP/1.1\r\nhost: other\r\nproxy-connection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    b"CONNECT web:443 HTTP/1.1\r\nhost: web\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: web\r\n\r\n",
]
answers = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"well\": 1}",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\nb\r\n{\"well\": 1}\r\n0\r\nx-t: 1\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x01b",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\n\x1f\x8b\x08\x00\x00",
    b"nonsense\r\n\r\n",
]
number = 0
for letter in range(ord("@"), ord("@") + 45):
    for at in range(4):
        request = requests[(letter * 5 + at * 7) % len(requests)]
        answer = answers[(letter * 3 + at * 5) % len(answers)]
        write("exchange", f"{number}", bytes([letter]) + request + b"\xff\xfe" + answer)
        number += 1

# The codec: a side, how the bytes are cut, and what that side sends.
bodies = [
    b"5\r\nhello\r\n0\r\n\r\n", b"1;a=\"b\\\"c\";d\r\nx\r\n00;e\r\nx-t: 1\r\nx-u:\r\n\r\n", b"0\r\nx: 1\n\r\n", b"A\r\n0123456789\r\n",
]
chunked = b"POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n"
for number, message in enumerate(requests + [requests[0] + requests[3] + requests[4]] + [chunked + body + requests[0] for body in bodies]):
    write("differential", f"request-{number}", b"\0" + number.to_bytes(8, "little") + message)
chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
mended = [b"HTTP/1.1 200 OK\na : b\ncontent-length: 2, 2\n\nok", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + answers[0]]
for number, message in enumerate(answers + mended + [chunked + body + answers[0] for body in bodies]):
    for side in (b"\1", b"\2"):
        write("differential", f"answer-{number}-{side[0]}", side + number.to_bytes(8, "little") + message)
