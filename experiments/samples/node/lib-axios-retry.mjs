// axios with axios-retry and opossum. Planted: retries-post, because axios-retry's usual condition repeats a POST after a reset.
import axios from "axios";
import axiosRetry from "axios-retry";
import CircuitBreaker from "opossum";
import { RetryBudget } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

const budget = new RetryBudget();
const http = axios.create({ baseURL: UP, timeout: 300 });
axiosRetry(http, {
  retries: 2,
  retryDelay: (n) => (0.4 + 0.6 * Math.random()) * 80 * 2 ** (n - 1),
  retryCondition: (error) =>
    axiosRetry.isNetworkOrIdempotentRequestError(error) && !error.response?.headers["retry-after"] && budget.spend(),
});

async function fetchItems(signal) {
  budget.earn();
  // `timeout` ends with the head, so the whole call has a deadline as well.
  const { data } = await http.get("/items", { signal: AbortSignal.any([signal, AbortSignal.timeout(850)]) });
  if (!Array.isArray(data.items) || data.items.length !== data.count) throw new Error("not the list it says it is");
  return data.items;
}

const items = new CircuitBreaker(fetchItems, {
  timeout: false,
  volumeThreshold: 10,
  rollingCountTimeout: 4000,
  resetTimeout: 1500,
  errorFilter: (error) => error.response?.status < 500,
});

serve({
  page: async (request, signal) => {
    try {
      return primary(await items.fire(signal));
    } catch {
      return fallback();
    }
  },
  order: async () => {
    try {
      const { data } = await http.post("/orders", { item: 7 });
      return { status: 201, document: data };
    } catch (error) {
      return { status: 503, headers: { "retry-after": "1" }, document: { error: String(error) } };
    }
  },
});
