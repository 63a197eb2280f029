// Planted: breaker-opens-on-4xx. Callers who ask for what does not exist close the shop for all others.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  countsAsFailure() {
    return true;
  }
}

const client = new CatalogueClient(UP, { attemptTimeout: 400, attempts: 2, pageTime: 900, breaker: new Breaker({ openFor: 1000 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
