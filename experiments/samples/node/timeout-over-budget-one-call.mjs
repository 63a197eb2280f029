// Planted: timeout-over-budget. Items have 0.3 s; the prices, which the page asks for in parallel, have 2.4 s.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const items = new Client(UP, { attemptTimeout: 300, attempts: 2, pageTime: 800, breaker: new Breaker({ openFor: 1500 }) });
const prices = new Client(UP, { attemptTimeout: 2400, attempts: 1, pageTime: 2400, places: 100, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    const [listed, priced] = await Promise.allSettled([items.items({ signal }), prices.items({ path: "/prices", signal })]);
    if (listed.status === "rejected") return fallback();
    const known = new Map((priced.value ?? []).map((price) => [price.id, price.price_cents]));
    const shown = listed.value.map((item) => ({ ...item, price_cents: known.get(item.id) ?? null }));
    return priced.status === "fulfilled" ? primary(shown) : fallback(shown);
  },
});
