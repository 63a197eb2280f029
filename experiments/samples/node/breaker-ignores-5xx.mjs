// Planted: breaker-ignores-5xx. Only errors of the connection count; an answer is an answer, even a 503.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  countsAsFailure(failure) {
    return failure.kind !== "status";
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
