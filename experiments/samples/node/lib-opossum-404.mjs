// opossum around the client. Planted: breaker-opens-on-4xx, because there is no errorFilter.
import CircuitBreaker from "opossum";
import { Client, noBreaker } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 400, attempts: 2, pageTime: 900, breaker: noBreaker });
const items = new CircuitBreaker((signal) => client.items({ signal }), {
  timeout: false,
  volumeThreshold: 10,
  rollingCountTimeout: 3000,
  resetTimeout: 2000,
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
