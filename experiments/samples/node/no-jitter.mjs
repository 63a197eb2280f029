// Planted: no-jitter. One retry, always after a quarter of a second.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  pause() {
    return 250;
  }
}

const client = new CatalogueClient(UP, { attemptTimeout: 200, attempts: 2, pageTime: 700, breaker: new Breaker({ openFor: 2000 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
