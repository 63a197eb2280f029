"""What `prove` and `check` share: the list of samples, the packages they need, and processes that always end."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib

FOLDER = pathlib.Path(__file__).resolve().parent
VENV = FOLDER / ".venv"
NODE_MODULES = FOLDER / "node_modules"
RUST_BINARIES = FOLDER / ".rust"

GROUPS = {
    "timeouts": "no-timeout timeout-over-budget connect-timeout-only per-read-timeout head-only-timeout no-total-timeout",
    "retries": "immediate-retries no-backoff-growth no-jitter uncapped-backoff retries-4xx retries-post nested-retries"
    " no-retry-budget ignores-retry-after waits-out-retry-after",
    "bodies": "accepts-truncated accepts-corrupt",
    "connections": "reset-surfaced pinned-connection pool-leak no-bulkhead serialised",
    "breaker": "no-effective-breaker breaker-ignores-5xx breaker-opens-on-4xx breaker-never-closes half-open-stampede",
    "fallback": "fallback-same-dependency sticky-fallback slow-fallback",
    "load": "permanent-hedge no-cancellation",
}
GROUPS = {group: ids.split() for group, ids in GROUPS.items()}
IDS = {finding for ids in GROUPS.values() for finding in ids}


def load(only=()):
    """Reads samples.toml. `only` takes names of samples, ids of findings, groups of them, and `healthy`."""
    with open(FOLDER / "samples.toml", "rb") as file:
        samples = tomllib.load(file)["sample"]
    for sample in samples:
        unknown = set(sample["plants"] + sample["follows"]) - IDS
        if unknown:
            raise SystemExit(f"samples.toml: sample `{sample['name']}`: no such finding: {', '.join(sorted(unknown))}")
    words = {"healthy", *IDS, *GROUPS, *(sample["name"] for sample in samples)}
    if unknown := [word for word in only if word not in words]:
        raise SystemExit(f"--only {','.join(unknown)}: not a sample, an id of a finding, a group or `healthy`")
    return [sample for sample in samples if not only or is_meant(sample, only)]


def is_meant(sample, only):
    names = {sample["name"], *sample["plants"]} | {group for group, ids in GROUPS.items() if set(ids) & set(sample["plants"])}
    if not sample["plants"]:
        names.add("healthy")
    return bool(names & set(only))


def option(sample, flag, default=None):
    """The word after `flag` among the sample's audit flags."""
    audit = sample["audit"]
    return audit[audit.index(flag) + 1] if flag in audit else default


def install(samples):
    """Makes what these samples need beside them, outside git: a venv, node_modules, compiled Rust."""
    needs = {need for sample in samples for need in sample.get("needs", [])}
    if "python-packages" in needs:
        _install_once(VENV / "installed", FOLDER / "requirements.txt", _install_python)
    if "node-packages" in needs:
        _install_once(NODE_MODULES / ".installed", FOLDER / "package.json", _install_node)
    for sample in samples:
        if "rustc" in sample.get("needs", []):
            _compile(sample["command"][0])


def _install_once(stamp, wanted, run):
    if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
        run()
        stamp.write_bytes(wanted.read_bytes())


def _compile(binary):
    """Compiles a Rust sample of the standard library alone, if its sources are newer; no cargo, so a few seconds."""
    binary, sources = FOLDER / binary, list((FOLDER / "rust").glob("*.rs"))
    if binary.exists() and binary.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    RUST_BINARIES.mkdir(exist_ok=True)
    rustc = ["rustc", "--edition", "2024", "-O", "-o", binary, FOLDER / "rust" / f"{binary.name}.rs"]
    subprocess.run(rustc, check=True, timeout=120)


def _install_python():
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True, timeout=120)
    subprocess.run([VENV / "bin/pip", "install", "--quiet", "-r", FOLDER / "requirements.txt"], check=True, timeout=300)


def _install_node():
    npm = [shutil.which("npm") or "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(npm, cwd=FOLDER, check=True, timeout=300)


def environment(**more):
    """The environment of a sample; its `python3` is the one with the packages, if they are installed.

    Variables of brownout's own are left out: they would change what is audited.
    """
    path = os.environ.get("PATH", os.defpath)
    if (VENV / "installed").exists():
        path = f"{VENV / 'bin'}{os.pathsep}{path}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BROWNOUT_")}
    return {**kept, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more}


def free_port():
    """A port that nothing listens on. No connection is given one below 32768 (ip_local_port_range), so it stays free until it is used."""
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, **options):
    """A child in a group of its own; the whole group is ended when the block is left."""
    child = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield child
    finally:
        end(child)


def end(child, patience=5):
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        # The leader is gone; what it left behind in its group goes too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        return


@contextlib.contextmanager
def upstream(flags=()):
    """Runs upstream.py on a free port and gives its base URL."""
    command = [sys.executable, FOLDER / "upstream.py", "--port", "0", *flags]
    with running(command, stdout=subprocess.PIPE, text=True) as child:
        port = child.stdout.readline().strip()
        if not port:
            raise RuntimeError("upstream.py did not start")
        yield f"http://127.0.0.1:{port}"


def wait_for_port(port, child, seconds=15):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the sample did not listen on port {port}")
