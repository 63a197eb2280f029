"""Tells, as one line of JSON each, what requests Python's server saw: method, target and length of the body."""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def read_chunks(self):
        length = 0
        while size := int(self.rfile.readline().split(b";")[0], 16):
            length += len(self.rfile.read(size))
            if self.rfile.readline().strip():
                raise ValueError("something behind a chunk")
        while line := self.rfile.readline():
            if not line.strip():
                return length
        raise ValueError("the body is cut short")

    def read_sized(self, length):
        if len(self.rfile.read(length)) < length:
            raise ValueError("the body is cut short")
        return length

    def answer(self):
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
                body = self.read_chunks()
            else:
                body = self.read_sized(int(self.headers.get("Content-Length", 0)))
        except ValueError:
            self.close_connection = True
            return say(refused=400)
        say(method=self.command, target=self.path, body=body)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"seen")

    def send_error(self, code, *args):
        say(refused=code)
        super().send_error(code, *args)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
say(port=server.server_port)
sys.stdin.read()
