// Planted: breaker-never-closes. Each refused call starts the waiting time anew: only a pause of all callers lets it recover.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class RestlessBreaker extends Breaker {
  enter() {
    try {
      return super.enter();
    } catch (refused) {
      this.openedAt = performance.now();
      throw refused;
    }
  }
}

const client = new Client(UP, { attemptTimeout: 250, attempts: 2, pageTime: 700, breaker: new RestlessBreaker({ openFor: 1000 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
