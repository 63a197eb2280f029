// opossum with its own window: it opens when half of the calls of the last ten seconds failed. Healthy: an outage has to go on
// until it weighs more than the good calls before it.
import CircuitBreaker from "opossum";
import { Client, noBreaker } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 400, attempts: 1, pageTime: 900, breaker: noBreaker });
const items = new CircuitBreaker((signal) => client.items({ signal }), {
  timeout: false,
  volumeThreshold: 5,
  resetTimeout: 2000,
  errorFilter: (error) => error.kind === "left" || (error.status >= 400 && error.status < 500 && error.status !== 429),
});

serve({
  page: async (request, signal) => {
    try {
      return primary(await items.fire(signal));
    } catch {
      return fallback();
    }
  },
});
