"""The server half of each Python sample: a threaded HTTP server on 127.0.0.1:PORT with JSON answers. No client code."""

import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

FALLBACK = [{"id": n, "name": f"bestseller {n}", "price_cents": 999, "stock": 1} for n in range(1, 13)]


def up_url():
    return os.environ["BROWNOUT_ROUTE_UP_URL"]


def second_url():
    return os.environ["BROWNOUT_ROUTE_SECOND_URL"]


def primary(items):
    return 200, {}, {"items": items, "source": "primary"}


def fallback(items=None):
    return 200, {"x-degraded": "1"}, {"items": FALLBACK if items is None else items, "source": "fallback"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    routes = {}

    def _answer(self):
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        route = self.routes.get((self.command, self.path.partition("?")[0]))
        try:
            status, headers, document = route(self) if route else (404, {}, {"error": "no such path"})
        except Exception as error:
            status, headers, document = 500, {}, {"error": f"{type(error).__name__}: {error}"}
        body = json.dumps(document).encode()
        head = [f"HTTP/1.1 {status} {self.responses[status][0]}", "content-type: application/json", f"content-length: {len(body)}"]
        head += ["connection: close"] if self.close_connection else []
        head += [f"{name}: {value}" for name, value in headers.items()]
        try:
            self.wfile.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = _answer

    def log_message(self, *_):
        pass


class _Threaded(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a caller that left


class _Workers(HTTPServer):
    """A fixed number of workers for all requests, as many application servers are configured."""

    request_queue_size = 512

    def __init__(self, address, handler, workers):
        super().__init__(address, handler)
        self.waiting = queue.Queue(maxsize=1000)
        for _ in range(workers):
            threading.Thread(target=self._work, daemon=True).start()

    def process_request(self, request, client_address):
        self.waiting.put((request, client_address))

    def _work(self):
        while True:
            request, client_address = self.waiting.get()
            try:
                self.finish_request(request, client_address)
            except OSError:
                pass
            finally:
                self.shutdown_request(request)


def serve(page, order=None, *, workers=None):
    """Serves `GET /page`, `GET /healthz` and, where `order` is given, `POST /order`, until the process is ended."""
    routes = {("GET", "/page"): page, ("GET", "/healthz"): lambda request: (200, {}, {"ok": True})}
    if order:
        routes["POST", "/order"] = order
    handler = type("Handler", (_Handler,), {"routes": routes})
    address = ("127.0.0.1", int(os.environ["PORT"]))
    if workers:
        # A worker serves one request and closes, so that an idle kept connection does not hold it.
        handler.protocol_version = "HTTP/1.0"
        server = _Workers(address, handler, workers)
    else:
        server = _Threaded(address, handler)
    server.serve_forever()
