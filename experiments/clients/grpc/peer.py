"""A service and a client of gRPC with grpcio, told what to do by `calls.py`: one line of JSON for each call, one for its outcome.

The methods of /test.Echo/ take and give bytes. Health checks are those of grpcio-health-checking.
"""

import collections
import concurrent.futures
import json
import sys
import threading
import time

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

GIVE_UP = 5  # seconds, for what no deadline ends
RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "test.Echo"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.02s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
left = collections.Counter()


class Echo(grpc.GenericRpcHandler):
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
        over = threading.Event()
        context.add_callback(over.set)
        if over.wait(10):
            left["calls"] += 1
        return b""


channels = {}


def channel(it):
    key = (it["address"], it.get("retries"))
    if it.get("fresh") and key in channels:
        channels.pop(key).close()
    if key not in channels:
        options = [("grpc.use_local_subchannel_pool", 1)]
        if it.get("retries"):
            options.append(("grpc.service_config", json.dumps(RETRIES)))
        if "authority" in it:
            with open(it["authority"], "rb") as file:
                trusted = grpc.ssl_channel_credentials(file.read())
            channels[key] = grpc.secure_channel(it["address"], trusted, options)
        else:
            channels[key] = grpc.insecure_channel(it["address"], options)
    return channels[key]


def metadata(call):
    found = dict(call.initial_metadata() or ()) | dict(call.trailing_metadata() or ())
    return {"first": found.get("x-first"), "last": found.get("x-last"), "last_bin": found.get("x-last-bin", b"").hex()}


def unary(it):
    answer, call = channel(it).unary_unary(f"/test.Echo/{it['method']}").with_call(bytes(it.get("bytes", 1)), timeout=it.get("deadline", GIVE_UP))
    return {"bytes": len(answer), **metadata(call)}


def cancelled(it):
    call = channel(it).unary_unary("/test.Echo/Waits").future(b"")
    time.sleep(it["after"])
    call.cancel()
    return {"code": call.code().name}


def down(it):
    answers = channel(it).unary_stream("/test.Echo/Down")(bytes(it.get("bytes", 1)), timeout=it.get("deadline", GIVE_UP))
    sizes = [len(answer) for answer in answers]
    return {"messages": len(sizes), "bytes": sum(sizes)}


def up(it):
    answer = channel(it).stream_unary("/test.Echo/Up")(iter([bytes(it["bytes"])] * 100), timeout=it.get("deadline", GIVE_UP))
    return {"bytes": int(answer)}


def both(it):
    """The next message goes out when the one before it has come back."""
    came = threading.Semaphore(1)

    def turns():
        for turn in range(it["messages"]):
            came.acquire()
            yield b"%d" % turn

    order = []
    for answer in channel(it).stream_stream("/test.Echo/Both")(turns(), timeout=it.get("deadline", GIVE_UP)):
        order.append(int(answer))
        came.release()
    return {"messages": len(order), "in_order": order == sorted(order)}


def many(it):
    method = channel(it).unary_unary("/test.Echo/Unary")
    calls = [method.future(b"x", timeout=GIVE_UP) for _ in range(it["count"])]
    return {"codes": collections.Counter(call.code().name for call in calls)}


def check(it):
    stub = health_pb2_grpc.HealthStub(channel(it))
    answer = stub.Check(health_pb2.HealthCheckRequest(service=it["service"]), timeout=it.get("deadline", GIVE_UP))
    return {"status": health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}


watched = None


def watch(it):
    """The next status of a service; the first call begins to watch."""
    global watched
    if watched is None:
        watched = health_pb2_grpc.HealthStub(channel(it)).Watch(health_pb2.HealthCheckRequest(service=it["service"]), timeout=GIVE_UP)
    return {"status": health_pb2.HealthCheckResponse.ServingStatus.Name(next(watched).status)}


def unwatch(_):
    global watched
    watched.cancel()
    watched = None
    return {}


def serving(it):
    names = health_pb2.HealthCheckResponse
    checks.set("", names.SERVING if it["serving"] else names.NOT_SERVING)
    return {}


def told_left(_):
    return {"left": left["calls"]}


def outcome(it):
    begun = time.monotonic()
    try:
        seen = {"code": "OK", **globals()[it["do"]](it)}
    except grpc.RpcError as error:
        seen = {"code": error.code().name, "message": error.details(), **metadata(error)}
        globals()["watched"] = None
    return {**seen, "seconds": time.monotonic() - begun}


server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[Echo()])
checks = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
checks.set("", health_pb2.HealthCheckResponse.SERVING)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(json.dumps({"port": port, "version": grpc.__version__}), flush=True)
for line in sys.stdin:
    print(json.dumps(outcome(json.loads(line))), flush=True)
server.stop(0)
