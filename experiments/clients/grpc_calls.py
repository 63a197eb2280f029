"""Calls of gRPC through the proxy with grpcio: each kind of stream, deadlines, cancellation, trailers, and faults on them.

grpc_calls.py BROWNOUT. Everything is checked; the first thing that is wrong ends it.
"""

import concurrent.futures
import json
import subprocess
import sys
import threading
import time
import urllib.request

import grpc

brownout = sys.argv[1]
left = threading.Event()


class Echo(grpc.GenericRpcHandler):
    """Four methods whose messages are bytes."""

    def service(self, details):
        return {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/test.Echo/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/test.Echo/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/test.Echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/test.Echo/Fails": grpc.unary_unary_rpc_method_handler(self.fails),
            "/test.Echo/Waits": grpc.unary_unary_rpc_method_handler(self.waits),
        }.get(details.method)

    def unary(self, request, context):
        context.send_initial_metadata((("x-first", "1"),))
        context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", b"\0\1")))
        return request

    def down(self, request, context):
        for _ in range(100):
            yield request

    def up(self, requests, context):
        return b"%d" % sum(len(request) for request in requests)

    def both(self, requests, context):
        yield from requests

    def fails(self, request, context):
        context.set_trailing_metadata((("x-last", "2"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: ä")

    def waits(self, request, context):
        context.add_callback(left.set)
        left.wait(10)
        return b""


def call(method, path, body=None):
    request = urllib.request.Request(f"http://{control}{path}", method=method, data=body and json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def code_of(begin):
    try:
        answer = begin()
        if not isinstance(answer, bytes):
            list(answer)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def same(what, seen, wanted):
    if seen != wanted:
        sys.exit(f"{what}: {seen!r} is not {wanted!r}")
    print(f"ok: {what}", flush=True)


def faulty(what, fault, begin, wanted, injected=1):
    call("PUT", "/faults/it", {"id": "it", "route": "web", **fault})
    same(what, code_of(begin), wanted)
    same(f"{what}, counted", call("GET", "/faults/it")["counters"]["injected"], injected)
    call("DELETE", "/faults/it")


server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[Echo()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
route = json.dumps({"name": "web", "listen": "127.0.0.1:0", "upstream": f"http://127.0.0.1:{port}", "protocol": "h2"})
proxy = subprocess.Popen(
    [brownout, "proxy", "--control", "127.0.0.1:0", "--output", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
)
try:
    control = json.loads(proxy.stdout.readline())["control"]
    address = call("POST", "/routes", json.loads(route))["listen"]
    with grpc.insecure_channel(address) as channel:
        unary = channel.unary_unary("/test.Echo/Unary")
        down = channel.unary_stream("/test.Echo/Down")
        up = channel.stream_unary("/test.Echo/Up")
        both = channel.stream_stream("/test.Echo/Both")
        fails = channel.unary_unary("/test.Echo/Fails")
        waits = channel.unary_unary("/test.Echo/Waits")

        answer, told = unary.with_call(b"x" * 1_000_000, timeout=10)
        same("unary, 1 MB each way", len(answer), 1_000_000)
        same("metadata before", dict(told.initial_metadata())["x-first"], "1")
        last = dict(told.trailing_metadata())
        same("metadata behind", (last["x-last"], last["x-last-bin"]), ("2", b"\0\1"))
        same("a stream down", sum(map(len, down(b"x" * 20_000, timeout=10))), 2_000_000)
        same("a stream up", up(iter([b"x" * 20_000] * 100), timeout=10), b"2000000")
        turns = both((b"%d" % turn for turn in range(100)), timeout=10)
        same("streams both ways", [int(it) for it in turns], list(range(100)))
        # A turn that waits for the answer to the one before.
        asked = threading.Semaphore(1)

        def by_turns():
            for turn in range(20):
                asked.acquire()
                yield b"%d" % turn

        answers = []
        for it in both(by_turns(), timeout=10):
            answers.append(int(it))
            asked.release()
        same("streams by turns", answers, list(range(20)))
        try:
            fails(b"", timeout=10)
            sys.exit("it does not fail")
        except grpc.RpcError as error:
            same("a status of the service", (error.code().name, error.details()), ("FAILED_PRECONDITION", "no: ä"))
            same("metadata behind a failure", dict(error.trailing_metadata())["x-last"], "2")
        same("an unknown method", code_of(lambda: channel.unary_unary("/test.Echo/None")(b"", timeout=10)), "UNIMPLEMENTED")
        same("a deadline", code_of(lambda: waits(b"", timeout=0.3)), "DEADLINE_EXCEEDED")
        same("the service learns of that", left.wait(5), True)
        left.clear()
        begun = waits.future(b"", timeout=10)
        time.sleep(0.2)
        begun.cancel()
        same("the service learns of a cancellation", left.wait(5), True)

        one = lambda: unary(b"x", timeout=2)
        for status, wanted in [(400, "INTERNAL"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (404, "UNIMPLEMENTED"), (429, "UNAVAILABLE"), (503, "UNAVAILABLE"), (500, "UNKNOWN")]:
            faulty(f"abort {status}", {"abort": {"status": status}}, one, wanted)
        faulty("abort of a stream", {"abort": {"status": 503, "at": "after"}}, lambda: down(b"x", timeout=2), "UNAVAILABLE")
        faulty("latency beyond the deadline", {"latency": "1m"}, lambda: unary(b"x", timeout=0.3), "DEADLINE_EXCEEDED")
        faulty("reset", {"reset": {}}, one, "INTERNAL")
        faulty("reset with CANCEL", {"reset": {"code": "CANCEL"}}, one, "CANCELLED")
        faulty("reset in the stream", {"reset": {"after_bytes": "50KB"}}, lambda: down(b"x" * 20_000, timeout=2), "INTERNAL")
        faulty("an answer without its trailers", {"truncate": {"after_bytes": "50KB", "ending": "clean"}}, lambda: down(b"x" * 20_000, timeout=2), "UNKNOWN")
        faulty("a refused stream", {"refused_stream": {}}, one, "UNAVAILABLE")
        faulty("behind a goaway", {"goaway": {}}, one, "OK")
        same("the next connection", code_of(one), "OK")
finally:
    proxy.terminate()
    proxy.wait(10)
    server.stop(0)
