// Planted: accepts-truncated. The items that arrived before the connection broke are shown as if they were all.
import { Breaker, Client } from "./resilient-client.mjs";
import { UP, fallback, primary, serve } from "./web.mjs";

class LenientClient extends Client {
  async readBody(response) {
    let text = "";
    try {
      for await (const piece of response.body.pipeThrough(new TextDecoderStream())) text += piece;
      return text;
    } catch (error) {
      const items = (text.match(/\{"id".*?\}/g) ?? []).map((item) => JSON.parse(item));
      if (error.name === "AbortError" || items.length === 0) throw error;
      return JSON.stringify({ items, count: items.length });
    }
  }
}

const client = new LenientClient(UP, { attemptTimeout: 700, attempts: 2, pageTime: 1800, breaker: new Breaker({ openFor: 1500 }) });

serve({
  page: async (request, signal) => {
    try {
      return primary(await client.items({ signal }));
    } catch {
      return fallback();
    }
  },
});
