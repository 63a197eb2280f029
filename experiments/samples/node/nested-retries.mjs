// Planted: nested-retries. Two attempts in the page times two in the client.
import { setTimeout as sleep } from "node:timers/promises";
import { Breaker, Client, RetryBudget } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const client = new Client(UP, {
  attemptTimeout: 250,
  attempts: 2,
  pageTime: 650,
  backoff: 60,
  budget: new RetryBudget({ tokens: 20 }),
  breaker: new Breaker({ openFor: 2500 }),
});

async function itemsAtLast(signal) {
  try {
    return await client.items({ signal });
  } catch (failure) {
    if (!client.retryable("GET", failure)) throw failure;
    await sleep(180 + Math.random() * 150, undefined, { signal });
    return client.items({ signal });
  }
}

serve({
  page: async (request, signal) => {
    try {
      return primary(await itemsAtLast(signal));
    } catch {
      return fallback();
    }
  },
});
