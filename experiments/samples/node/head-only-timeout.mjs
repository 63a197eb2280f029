// Planted: head-only-timeout. The timer is stopped as soon as the head is there; the body may take for ever.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  readBody(response, timeout) {
    clearTimeout(timeout);
    return response.text();
  }
}

const client = new CatalogueClient(UP, { attemptTimeout: 350, attempts: 2, pageTime: 900, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
