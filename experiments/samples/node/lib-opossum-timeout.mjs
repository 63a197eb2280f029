// opossum around the client. Planted: no-cancellation, because opossum's timeout does not stop what it waits for.
import CircuitBreaker from "opossum";
import { Client, noBreaker } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 450, attempts: 5, pageTime: Infinity, backoff: 220, breaker: noBreaker });
const items = new CircuitBreaker(() => client.items(), {
  timeout: 600,
  volumeThreshold: 10,
  rollingCountTimeout: 3000,
  resetTimeout: 1200,
  errorFilter: (failure) => failure.status < 500,
});

serve({
  page: async () => {
    try {
      return primary(await items.fire());
    } catch {
      return fallback();
    }
  },
});
