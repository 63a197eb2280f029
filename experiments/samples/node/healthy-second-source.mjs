// Healthy: while the dependency fails, pages come from a second source, which has a timeout and a breaker of its own.
import { Breaker, Client } from "./resilient-client.mjs";
import { SECOND, UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 250, attempts: 2, pageTime: 600, breaker: new Breaker({ openFor: 1800 }) });
const second = new Client(SECOND, { attemptTimeout: 250, attempts: 1, pageTime: 250, breaker: new Breaker({ openFor: 1800 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback(await second.items({ path: "/popular", signal }).catch(() => undefined));
    }
  },
});
