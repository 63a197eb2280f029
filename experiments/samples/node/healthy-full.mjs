// Healthy: attempt timeout, retries with a budget, breaker, static fallback; stops when the caller leaves; an order is sent once.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 600, attempts: 3, pageTime: 1700, backoff: 150, breaker: new Breaker({ openFor: 2500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
  order: async (request, signal) => {
    const body = JSON.stringify({ item: 7 });
    try {
      return { status: 201, document: await client.call("POST", "/orders", { body, signal, headers: { "content-type": "application/json" } }) };
    } catch (error) {
      return { status: 503, headers: { "retry-after": "1" }, document: { error: String(error) } };
    }
  },
});
