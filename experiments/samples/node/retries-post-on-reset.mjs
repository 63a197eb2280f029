// Planted: retries-post. A reset counts as "never arrived", so the order is sent again, though it may have been made.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class ShopClient extends Client {
  retryable(method, failure) {
    return failure.kind === "connection" || super.retryable(method, failure);
  }
}

const client = new ShopClient(UP, { attemptTimeout: 500, attempts: 3, pageTime: 1700, breaker: new Breaker({ openFor: 2000 }) });

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
