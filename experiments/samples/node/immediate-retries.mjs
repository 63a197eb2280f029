// Planted: immediate-retries. A failed call is repeated at once.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  pause() {
    return 0;
  }
}

const client = new CatalogueClient(UP, { attemptTimeout: 250, attempts: 3, pageTime: 800, breaker: new Breaker({ openFor: 1200 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
