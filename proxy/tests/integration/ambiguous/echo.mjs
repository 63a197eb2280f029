// Tells, as one line of JSON each, what requests Node's server saw: method, target and length of the body.
import { createServer } from "node:http";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const server = createServer((request, response) => {
  let body = 0;
  request.on("data", (data) => (body += data.length));
  request.on("end", () => {
    say({ method: request.method, target: request.url, body });
    response.end("seen");
  });
});
server.on("clientError", (error, socket) => {
  say({ refused: error.code });
  socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.stdin.on("end", () => process.exit(0)).resume();
