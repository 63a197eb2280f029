// Planted: half-open-stampede. When the waiting time is over, all callers are let through until the first answer is there.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class OpenDoor extends Breaker {
  enter() {
    if (this.openedAt !== null) this.probing = false;
    return super.enter();
  }
}

const client = new Client(UP, { attemptTimeout: 500, attempts: 2, pageTime: 900, places: 64, breaker: new OpenDoor({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
