// Healthy: a second request for the slowest pages only. It waits for the 95th percentile, and at most a tenth of the calls get one.
import { setTimeout as sleep } from "node:timers/promises";
import { Breaker, Client, RetryBudget } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class HedgingClient extends Client {
  times = [];
  hedges = new RetryBudget({ tokens: 2, ratio: 0.08 });

  async exchange(method, path, request) {
    const began = performance.now();
    const done = new AbortController();
    const signal = request.signal ? AbortSignal.any([request.signal, done.signal]) : done.signal;
    const first = super.exchange(method, path, { ...request, signal });
    this.hedges.earn();
    try {
      const settled = first.then(() => true, () => true);
      const early = await Promise.race([settled, sleep(this.usual(), false)]);
      if (early || !this.hedges.spend()) return await first;
      return await Promise.any([first, super.exchange(method, path, { ...request, signal })]);
    } catch (error) {
      throw error.errors?.[0] ?? error;
    } finally {
      done.abort();
      this.times = [...this.times, performance.now() - began].slice(-100);
    }
  }

  usual() {
    if (this.times.length < 20) return 100;
    return Math.max(20, this.times.toSorted((a, b) => a - b)[Math.floor(this.times.length * 0.95)]);
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
