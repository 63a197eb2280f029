// Planted: no-timeout. Items have a timeout; the prices, which the page asks for in parallel, have none.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class PriceClient extends Client {
  fetch(method, path, { signal, ...request }) {
    return super.fetch(method, path, request);
  }
}

const options = () => ({ attemptTimeout: 300, attempts: 2, pageTime: 800, breaker: new Breaker({ openFor: 1500 }) });
const items = new Client(UP, options());
const prices = new PriceClient(UP, { ...options(), places: 500 });

serve({
  page: async (request, signal) => {
    const [listed, priced] = await Promise.allSettled([items.items({ signal }), prices.items({ path: "/prices", signal })]);
    if (listed.status === "rejected") return fallback();
    const known = new Map((priced.value ?? []).map((price) => [price.id, price.price_cents]));
    const shown = listed.value.map((item) => ({ ...item, price_cents: known.get(item.id) ?? null }));
    return priced.status === "fulfilled" ? primary(shown) : fallback(shown);
  },
});
