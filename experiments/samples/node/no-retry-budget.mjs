// Planted: no-retry-budget. However many calls fail, each of them is repeated twice.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const unlimited = { earn() {}, spend: () => true };
const breaker = new Breaker({ share: 0.75, window: 40, least: 20, openFor: 1500 });
const client = new Client(UP, { attemptTimeout: 250, attempts: 3, pageTime: 800, budget: unlimited, breaker });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
