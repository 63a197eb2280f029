// Planted: ignores-retry-after. The dependency says when to come back, and nobody reads it.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  toldToWait() {
    return false;
  }
}

const client = new CatalogueClient(UP, { attemptTimeout: 300, attempts: 3, pageTime: 850, breaker: new Breaker({ openFor: 2000 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
