// Planted: sticky-fallback. After one failed page the second source is asked for good.
import { Breaker, Client } from "./resilient-client.mjs";
import { SECOND, UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 250, attempts: 2, pageTime: 600, breaker: new Breaker({ openFor: 1500 }) });
const second = new Client(SECOND, { attemptTimeout: 250, attempts: 1, pageTime: 250, breaker: new Breaker({ openFor: 1500 }) });
let failedOver = false;

serve({
  page: async (request, signal) => {
    if (!failedOver) {
      try {
        return primary(await client.items({ signal }));
      } catch (failure) {
        failedOver = client.countsAsFailure(failure);
      }
    }
    return fallback(await second.items({ path: "/popular", signal }).catch(() => undefined));
  },
});
