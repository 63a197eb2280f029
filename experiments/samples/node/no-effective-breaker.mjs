// Planted: no-effective-breaker. Two attempts for each page, however long the dependency has been failing.
import { Client, noBreaker } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 180, attempts: 2, pageTime: 430, backoff: 90, breaker: noBreaker });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
