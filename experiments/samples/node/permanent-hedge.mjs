// Planted: permanent-hedge. After 15 ms a second request is sent, however slow the dependency is for everybody.
import { setTimeout as sleep } from "node:timers/promises";
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class HedgingClient extends Client {
  async exchange(method, path, request) {
    const done = new AbortController();
    const signal = request.signal ? AbortSignal.any([request.signal, done.signal]) : done.signal;
    const first = super.exchange(method, path, { ...request, signal });
    try {
      const settled = first.then(() => true, () => true);
      if (await Promise.race([settled, sleep(15, false)])) return await first;
      return await Promise.any([first, super.exchange(method, path, { ...request, signal })]);
    } catch (error) {
      throw error.errors?.[0] ?? error;
    } finally {
      done.abort();
    }
  }
}

const client = new HedgingClient(UP, { attemptTimeout: 400, attempts: 2, pageTime: 900, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
