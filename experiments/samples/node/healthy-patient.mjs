// Healthy: a page of 5 s, five attempts of 0.7 s, a breaker that is open for 5 s.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 700, attempts: 5, pageTime: 4500, backoff: 120, breaker: new Breaker({ openFor: 5000 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
