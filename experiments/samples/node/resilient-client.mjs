// A healthy HTTP client on fetch: deadline, bounded places, retries with a budget, breaker, validation.
// Each sample changes one parameter or overrides one method; what is not changed is meant to be right.
import { setTimeout as sleep } from "node:timers/promises";

const SHORTEST_ATTEMPT = 20; // ms; with less time left an attempt is not begun

// `kind` is timeout, connection, body, status, busy (no place free), open (breaker) or left (the caller).
export class Failed extends Error {
  constructor(kind, { status, retryAfter, cause } = {}) {
    super(`${kind} ${status ?? ""}`, { cause });
    Object.assign(this, { kind, status, retryAfter });
  }
}

// Opens when `share` of the last `window` attempts failed (at least `least` of them); after `openFor` ms one probe decides.
export class Breaker {
  constructor({ share = 0.5, window = 20, least = 10, openFor = 1500 } = {}) {
    Object.assign(this, { share, window, least, openFor });
    this.results = [];
    this.openedAt = null;
    this.probing = false;
    this.generation = 0; // results of attempts from before the last change of state do not count
  }

  enter() {
    if (this.openedAt !== null) {
      if (this.probing || performance.now() - this.openedAt < this.openFor) throw new Failed("open");
      this.probing = true;
    }
    return this.generation;
  }

  // `ok` is undefined for an attempt that says nothing about the dependency.
  leave(generation, ok) {
    if (generation !== this.generation) return;
    if (this.openedAt !== null) return this.probed(ok);
    if (ok === undefined) return;
    this.results = [...this.results, ok].slice(-this.window);
    const failed = this.results.filter((one) => !one).length;
    if (this.results.length >= this.least && failed >= this.share * this.results.length) this.open();
  }

  probed(ok) {
    this.probing = false;
    if (ok) this.close();
    else if (ok === false) this.open();
  }

  open() {
    this.openedAt = performance.now();
    this.generation += 1;
    this.probing = false;
  }

  close() {
    this.openedAt = null;
    this.generation += 1;
    this.results = [];
  }
}

export const noBreaker = { enter() {}, leave() {} };

// Each call earns `ratio` of a retry, up to `tokens`.
export class RetryBudget {
  constructor({ tokens = 10, ratio = 0.2 } = {}) {
    Object.assign(this, { most: tokens, tokens, ratio });
  }

  earn() {
    this.tokens = Math.min(this.most, this.tokens + this.ratio);
  }

  spend() {
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}

export class Client {
  constructor(baseUrl, options = {}) {
    const defaults = { attemptTimeout: 250, attempts: 3, pageTime: 800, backoff: 80, backoffCap: 1000, places: 32 };
    Object.assign(this, defaults, { budget: new RetryBudget(), breaker: new Breaker() }, options);
    this.baseUrl = baseUrl;
    this.inFlight = 0;
  }

  // A call: attempts inside one deadline. `signal` is aborted when the caller leaves.

  async items({ path = "/items", signal, headers } = {}) {
    return (await this.call("GET", path, { signal, headers })).items;
  }

  async call(method, path, { body, headers, signal, ends = performance.now() + this.pageTime } = {}) {
    this.budget.earn();
    for (let n = 1; ; n++) {
      try {
        return await this.attempt(method, path, { body, headers, signal, ends });
      } catch (failure) {
        if (n === this.attempts || !this.retryable(method, failure)) throw failure;
        const pause = this.pause(n, failure);
        if (ends - performance.now() - pause < SHORTEST_ATTEMPT || !this.budget.spend()) throw failure;
        await this.wait(pause, signal);
      }
    }
  }

  retryable(method, failure) {
    if (method !== "GET" || this.toldToWait(failure)) return false;
    return ["timeout", "connection", "body"].includes(failure.kind) || failure.status >= 500;
  }

  toldToWait(failure) {
    return failure.retryAfter > 0;
  }

  // Milliseconds before attempt n + 1: full jitter above a floor, on a step that doubles.
  pause(n) {
    const step = Math.min(this.backoff * 2 ** (n - 1), this.backoffCap);
    return step / 3 + Math.random() * (step * 2) / 3;
  }

  async wait(pause, signal) {
    await sleep(pause, undefined, { signal }).catch((cause) => {
      throw new Failed("left", { cause });
    });
  }

  // An attempt: one request, its head and its whole body.

  async attempt(method, path, { body, headers, signal, ends }) {
    const generation = this.breaker.enter();
    let ok;
    try {
      const document = await this.placed(() =>
        this.exchange(method, path, { body, headers, signal, time: Math.min(this.attemptTimeout, ends - performance.now()) }));
      ok = true;
      return document;
    } catch (failure) {
      ok = ["busy", "left"].includes(failure.kind) ? undefined : !this.countsAsFailure(failure);
      throw failure;
    } finally {
      this.breaker.leave(generation, ok);
    }
  }

  countsAsFailure(failure) {
    return ["timeout", "connection", "body"].includes(failure.kind) || failure.status >= 500;
  }

  async placed(work) {
    if (this.inFlight >= this.places) throw new Failed("busy");
    this.inFlight += 1;
    try {
      return await work();
    } finally {
      this.inFlight -= 1;
    }
  }

  async exchange(method, path, { body, headers, signal, time }) {
    const timer = new AbortController();
    const timeout = setTimeout(() => timer.abort(), Math.max(1, time));
    const either = signal ? AbortSignal.any([signal, timer.signal]) : timer.signal;
    let phase = "connection";
    try {
      const response = await this.fetch(method, path, { body, headers, signal: either });
      phase = "body";
      const text = await this.readBody(response, timeout);
      if (response.status >= 400) {
        throw new Failed("status", { status: response.status, retryAfter: secondsOf(response.headers.get("retry-after")) });
      }
      return method === "GET" ? this.parse(text) : JSON.parse(text);
    } catch (cause) {
      if (cause instanceof Failed) throw cause;
      throw new Failed(signal?.aborted ? "left" : timer.signal.aborted ? "timeout" : phase, { cause });
    } finally {
      clearTimeout(timeout);
    }
  }

  fetch(method, path, { body, headers, signal }) {
    return fetch(this.baseUrl + path, { method, body, headers, signal });
  }

  readBody(response) {
    return response.text();
  }

  // Refuses a body that is not the whole list it says it is.
  parse(text) {
    const document = JSON.parse(text);
    if (document.items.length !== document.count || !document.items.every((item) => Number.isInteger(item.id))) {
      throw new Error("not the list it says it is");
    }
    return document;
  }
}

// `Retry-After` as seconds from now, or undefined.
export function secondsOf(text) {
  if (text === null) return undefined;
  const seconds = Number(text);
  if (!Number.isNaN(seconds)) return seconds;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : (date - Date.now()) / 1000;
}
