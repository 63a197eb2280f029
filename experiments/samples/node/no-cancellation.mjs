// Planted: no-cancellation. The page answers in time, but the attempts behind it go on for nobody.
import { setTimeout as sleep } from "node:timers/promises";
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 500, attempts: 5, pageTime: Infinity, backoff: 200, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async () => {
    const items = await Promise.race([client.items().catch(() => null), sleep(650, null)]);
    return items ? primary(items) : fallback();
  },
});
