// Planted: pool-leak. A place is not given back after a reset; twenty-four resets later there is none.
import { Breaker, Client, Failed } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class CatalogueClient extends Client {
  async placed(work) {
    if (this.inFlight >= this.places) throw new Failed("busy");
    this.inFlight += 1;
    try {
      const document = await work();
      this.inFlight -= 1;
      return document;
    } catch (failure) {
      if (failure.kind !== "connection") this.inFlight -= 1;
      throw failure;
    }
  }
}

const breaker = new Breaker({ share: 0.6, window: 50, least: 30, openFor: 1200 });
const client = new CatalogueClient(UP, { attemptTimeout: 250, attempts: 2, pageTime: 700, places: 24, breaker });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
