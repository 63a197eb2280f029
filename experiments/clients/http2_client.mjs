// Asks a URL over HTTP/2, one request after the other on one connection: http2_client.mjs URL TIMES BYTES
import http2 from "node:http2";

const [url, times, bytes] = process.argv.slice(2);
const said = (error) => `Error: ${error.code}: ${error.message}`;
const session = http2.connect(url);
session.on("error", () => {});

function ask() {
  return new Promise((resolve) => {
    let status = 0;
    let received = 0;
    const finish = (text) => {
      clearTimeout(timer);
      resolve(text);
    };
    const timer = setTimeout(() => {
      stream.close(http2.constants.NGHTTP2_CANCEL);
      finish(`gave up after 2 s (${status}, ${received} bytes)`);
    }, 2000);
    let stream;
    try {
      stream = session.request(
        { ":path": "/", ":method": +bytes ? "POST" : "GET" },
        { endStream: !+bytes },
      );
    } catch (error) {
      finish(said(error));
      return;
    }
    stream.on("response", (head) => (status = head[":status"]));
    stream.on("data", (piece) => (received += piece.length));
    stream.on("end", () => finish(`${status}, ${received} bytes`));
    stream.on("error", (error) => finish(said(error)));
    stream.on("close", () => finish(`closed without an error (${status}, ${received} bytes)`));
    if (+bytes) stream.end(Buffer.alloc(+bytes));
  });
}

let last;
for (let asked = 0; asked < +times; asked++) last = await ask();
console.log(last);
process.exit(0);
