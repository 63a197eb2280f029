// Planted: accepts-corrupt. An answer that cannot be read counts as an empty list.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  parse(text) {
    try {
      return { items: JSON.parse(text).items ?? [] };
    } catch {
      return { items: [] };
    }
  }
}

const client = new CatalogueClient(UP, { attemptTimeout: 250, attempts: 3, pageTime: 800, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
