"""A whole outage with the published client for Python (toxiproxy-python), unchanged."""

import socket
import socketserver
import sys
import threading
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


def said_back(address, text=b"ping"):
    host, port = address.rsplit(":", 1)
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(text)
        got = b""
        while len(got) < len(text):
            part = client.recv(65536)
            if not part:
                raise ConnectionError("closed")
            got += part
    assert got == text, got
    return time.monotonic() - began


def refused(call, error):
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


socketserver.ThreadingTCPServer.daemon_threads = True
echo = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()
upstream = "127.0.0.1:%d" % echo.server_address[1]

server = Toxiproxy()
server.update_api_consumer("127.0.0.1", int(sys.argv[1]))
assert server.running()
assert b"2.12.0" in server.version()
server.destroy_all()

proxy = server.create(name="redis", upstream=upstream)
refused(lambda: server.create(name="redis", upstream=upstream), ProxyExists)
assert proxy.enabled and server.get_proxy("redis").listen == proxy.listen
assert said_back(proxy.listen) < 1

proxy.add_toxic(type="latency", attributes={"latency": 200, "jitter": 0})
assert said_back(proxy.listen) >= 0.2
toxic = proxy.get_toxic("latency_downstream")
assert toxic.attributes == {"latency": 200, "jitter": 0} and toxic.toxicity == 1
refused(lambda: proxy.add_toxic(type="latency"), ProxyExists)
refused(lambda: proxy.add_toxic(type="unknown"), InvalidToxic)
assert proxy.destroy_toxic("latency_downstream")
refused(lambda: proxy.destroy_toxic("latency_downstream"), NotFound)
assert said_back(proxy.listen) < 0.2

with proxy.down():
    refused(lambda: said_back(proxy.listen), ConnectionError)
assert said_back(proxy.listen) < 1

proxy.add_toxic(type="limit_data", attributes={"bytes": 3})
refused(lambda: said_back(proxy.listen), ConnectionError)
proxy.disable()
assert server.reset()
assert said_back(proxy.listen) < 1
assert not server.get_proxy("redis").toxics()

made = server.populate([{"name": "one", "upstream": upstream, "listen": "127.0.0.1:0"}])
assert made[0].name == "one"
server.destroy_all()
assert not server.proxies()
print("toxiproxy-python: ok")
