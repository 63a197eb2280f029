// Healthy: passes traceparent and x-request-id on, so that each call can be joined to its page.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, { attemptTimeout: 150, attempts: 3, pageTime: 600, backoff: 60, breaker: new Breaker({ share: 0.7, openFor: 1000 }) });
const PASSED_ON = ["traceparent", "x-request-id"];

serve({
  page: async (request, signal) => {
    const headers = Object.fromEntries(PASSED_ON.filter((name) => request.headers[name]).map((name) => [name, request.headers[name]]));
    try {
      return primary(await client.items({ signal, headers }));
    } catch {
      return fallback();
    }
  },
});
