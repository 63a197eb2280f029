// The server half of each Node sample: an HTTP server on 127.0.0.1:PORT with JSON answers. No client code.
import http from "node:http";

export const UP = process.env.BROWNOUT_ROUTE_UP_URL;
export const SECOND = process.env.BROWNOUT_ROUTE_SECOND_URL;

const BESTSELLERS = Array.from({ length: 12 }, (_, n) => ({ id: n + 1, name: `bestseller ${n + 1}`, price_cents: 999, stock: 1 }));

export const primary = (items) => ({ status: 200, document: { items, source: "primary" } });

export const fallback = (items = BESTSELLERS) => ({
  status: 200,
  headers: { "x-degraded": "1" },
  document: { items, source: "fallback" },
});

// `page` and `order` get the request and a signal that is aborted when the caller leaves.
export function serve({ page, order }) {
  const routes = { "GET /page": page, "GET /healthz": () => ({ status: 200, document: { ok: true } }) };
  if (order) routes["POST /order"] = order;
  const server = http.createServer(async (request, response) => {
    const left = new AbortController();
    response.on("close", () => response.writableEnded || left.abort(new Error("caller left")));
    request.resume();
    const route = routes[`${request.method} ${request.url.split("?")[0]}`];
    let answer;
    try {
      answer = route ? await route(request, left.signal) : { status: 404, document: { error: "no such path" } };
    } catch (error) {
      answer = { status: 500, document: { error: String(error) } };
    }
    const body = JSON.stringify(answer.document);
    response.writeHead(answer.status, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...answer.headers,
    });
    response.end(body);
  });
  server.keepAliveTimeout = 60_000;
  server.listen(Number(process.env.PORT), "127.0.0.1", 512);
}
