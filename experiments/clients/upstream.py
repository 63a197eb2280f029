"""upstream.py: an upstream on a free port, whose every answer is 64 KiB; prints the port."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = b"all is well\n" * 5461 + b"end\n"  # 65,536 bytes


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def do_POST(self):
        if self.headers["content-length"]:
            self.rfile.read(int(self.headers["content-length"]))
        else:
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # Connections break here: that is what it is for.


server = Server(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
