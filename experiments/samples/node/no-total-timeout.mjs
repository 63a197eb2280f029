// Planted: no-total-timeout. Three attempts of 0.9 s each, and nothing that ends them together.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 900, attempts: 3, pageTime: Infinity, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
