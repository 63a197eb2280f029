"""The clients of the matrix: how each is called, and what it says without what differs from run to run."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
PATIENCE = 10  # seconds, for clients whose timeout does not help them
UPLOAD = 300_000  # bytes of the request, where a fault needs one
BODY = "65536 bytes"  # of upstream.py

content = tempfile.NamedTemporaryFile()
content.write(bytes(UPLOAD))
content.flush()


class Client:
    """A client, and how it is called: with a URL, how often it asks, and how many bytes it sends."""

    def __init__(self, name, needs, command, http2=False, tls=True, warm=True, environment=None):
        self.name, self.needs, self.command = name, needs, command
        self.http2, self.tls, self.warm = http2, http2 and tls, warm
        self.environment = environment or {}

    def ask(self, host, times, size):
        """What it says, in one line."""
        url = f"{'https' if self.tls else 'http'}://{host}/"
        try:
            result = subprocess.run(
                self.command(url, times, size),
                capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL, errors="replace",
                env={**os.environ, **self.environment},
            )
        except subprocess.TimeoutExpired:
            return f"**still waits after {PATIENCE} s**"
        return same_each_time(self.said(result.stdout.strip(), result.stderr.strip()), host)

    def said(self, out, err):
        if self.name == "wrk":
            if err:
                return err.splitlines()[-1]
            errors = re.findall(r"(connect|read|write|timeout) [1-9]", out)
            parts = [f"socket errors: {', '.join(errors)}"] if errors else []
            if "Non-2xx" in out:
                parts.append("non-2xx or 3xx responses")
            if re.search(r"\b0 requests in", out):
                parts.append("no request done")
            return "; ".join(parts) or "nothing wrong"
        if self.name.startswith("curl"):
            last = out.splitlines()[-1] if out else ""
            if not err:
                return last
            return err.splitlines()[-1] + (f" (`{last}`)" if last else "")
        if self.name == "nghttp":
            lines = [line for line in (err or out).splitlines() if "Certificate verification" not in line]
            return " ".join(lines) or "nothing wrong"
        return " ".join((out or err).splitlines()) or "nothing"


def same_each_time(text, host):
    """Without addresses, ports, times and bytes by chance; safe in a table."""
    name, port = host.split(":")
    text = text.replace(host, "HOST").replace(f"127.0.0.1:{port}", "HOST").replace(f"port {port}", "port PORT")
    text = re.sub(r"HOST:\d+", "HOST", text.replace("127.0.0.1", "HOST").replace(name, "HOST"))
    text = re.sub(r"port=\d+", "port=PORT", text)
    text = re.sub(r"object at 0x[0-9a-f]+", "object", text)
    text = re.sub(r"after \d+ m(illi)?s(econds)?", "after TIME", text)
    text = re.sub(r"HttpConnectStream@\w+|@[0-9a-f]{6,}", "@...", text)
    text = text.replace("|", "\\|").replace("<", "&lt;")
    text = re.sub(r"BadStatusLine\((?!'HTTP).*", "BadStatusLine(...)", text)
    text = re.sub(r'Invalid status line: "(?!HTTP).*', 'Invalid status line: "..."', text)
    text = "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in text)
    return text if len(text) <= 240 else text[:237] + "..."


def outcome(text):
    """One or two words for the table at the top."""
    if text == f"200, {BODY}":
        return "ok"
    if re.match(r"200, \d+ bytes$", text):
        return "**short**"
    if status := re.match(r"(\d{3}), \d+ bytes$", text):
        return status[1]
    if "still waits" in text or "has no timeout" in text:
        return "**waits**"
    if re.search(r"timed? ?out|gave up", text, re.IGNORECASE):
        return "timeout"
    return "error"


def clients(python, rust, java, authority):
    """All that are installed, HTTP/1.1 first; what is not there is told."""
    size_of = lambda size: ["--data-binary", f"@{content.name}"] if size else []

    def curl(*options):
        def command(url, times, size):
            first = ["curl", "-sS", *options, "--max-time", "2", "-w", "%{http_code}, %{size_download} bytes\n", *size_of(size)]
            return first + [part for _ in range(times) for part in ("-o", "/dev/null", url)]

        return command

    def programs(*command):
        return lambda url, times, size: [*command, url, str(times), str(size)]

    trust = {"CURL_CA_BUNDLE": str(authority), "SSL_CERT_FILE": str(authority), "NODE_EXTRA_CA_CERTS": str(authority)}
    store = [f"-Djavax.net.ssl.trustStore={java}/trusted", "-Djavax.net.ssl.trustStorePassword=changeit"]
    quick = ["-XX:TieredStopAtLevel=1"]  # Its timeout of 2 s is not for its start.
    over_http2 = {"http2": True, "environment": trust}
    known = [
        Client("curl", "curl", curl("--http1.1")),
        Client("wrk", "wrk", lambda url, *_: ["wrk", "-t1", "-c1", "-d3s", "--timeout", "2s", url], warm=False),
        Client("requests", None, programs(python, HERE / "python_client.py", "requests")),
        Client("httpx", None, programs(python, HERE / "python_client.py", "httpx")),
        Client("Node fetch", "node", programs("node", HERE / "node_client.mjs")),
        Client("java.net.http", "javac", programs("java", *quick, "-cp", java, "JavaClient", "HTTP_1_1")),
        Client("reqwest", None, programs(rust, "reqwest")),
        Client("hyper", None, programs(rust, "hyper")),
        Client("curl --http2", "curl", curl("--http2"), **over_http2),
        # It sends all of its requests at once.
        Client("nghttp", "nghttp", lambda url, times, size: ["nghttp", "-n", "-t", "2", *(["-d", content.name] if size else []), *[url] * times], warm=False, **over_http2),
        Client("httpx http2", None, programs(python, HERE / "python_client.py", "httpx-http2"), **over_http2),
        Client("Node http2", "node", programs("node", HERE / "http2_client.mjs"), **over_http2),
        Client("java.net.http HTTP/2", "javac", programs("java", *quick, *store, "-cp", java, "JavaClient", "HTTP_2"), **over_http2),
        Client("hyper http2", None, programs(rust, "hyper-http2"), http2=True, tls=False),
    ]
    if shutil.which("keytool"):
        (pathlib.Path(java) / "trusted").unlink(missing_ok=True)
        subprocess.run(
            ["keytool", "-importcert", "-noprompt", "-alias", "brownout", "-file", authority, "-keystore", f"{java}/trusted", "-storepass", "changeit"],
            check=True, capture_output=True,
        )
    there = [client for client in known if not client.needs or shutil.which(client.needs)]
    for needs in {client.needs for client in known if client not in there}:
        print(f"skipped: {needs} is not installed")
    return there


def version(client, python):
    """Of a client of the table; those that share a library share it."""
    said = lambda command: subprocess.run(command, capture_output=True, text=True, check=False).stdout
    library = client.name.split()[0]
    if library in ("requests", "httpx"):
        return said([python, "-c", f"import {library}; print({library}.__version__)"]).strip()
    if library in ("reqwest", "hyper"):
        lock = (HERE.parent.parent / "Cargo.lock").read_text()
        return re.search(rf'name = "{library}"\nversion = "([^"]+)"', lock)[1]
    if library == "wrk":
        return re.search(r"wrk (?:debian/)?([\d.]+)", said(["wrk", "-v"]))[1]
    return re.search(r"\d+\.\d+[\d.]*", said([client.needs, "--version"]))[0]
