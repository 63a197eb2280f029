// A service and a client of gRPC with @grpc/grpc-js, told what to do by `calls.py`: one line of JSON for each call, one for its
// outcome. The methods of /test.Echo/ take and give bytes. Health checks are those of grpc-health-check.
const fs = require("node:fs");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const health = require("grpc-health-check");

const GIVE_UP = 5; // seconds, for what no deadline ends
const RETRIES = {
  methodConfig: [
    {
      name: [{ service: "test.Echo" }],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.01s",
        maxBackoff: "0.02s",
        backoffMultiplier: 1,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};
const same = (bytes) => bytes;
const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const service = {
  Unary: method("Unary", false, false),
  Down: method("Down", false, true),
  Up: method("Up", true, false),
  Both: method("Both", true, true),
  Fails: method("Fails", false, false),
  Waits: method("Waits", false, false),
};
let left = 0;

function fields(...pairs) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of pairs) metadata.set(name, value);
  return metadata;
}

const echo = {
  Unary(call, done) {
    call.sendMetadata(fields(["x-first", "1"]));
    done(null, call.request, fields(["x-last", "2"], ["x-last-bin", Buffer.from([0, 1])]));
  },
  async Down(call) {
    for (let sent = 0; sent < 100 && !call.cancelled; sent++) {
      if (!call.write(call.request)) await new Promise((drained) => call.once("drain", drained));
    }
    call.end();
  },
  Up(call, done) {
    let size = 0;
    call.on("data", (message) => (size += message.length));
    call.on("end", () => done(null, Buffer.from(String(size))));
    call.on("error", () => {});
  },
  Both(call) {
    call.on("data", (message) => call.write(message));
    call.on("end", () => call.end());
    call.on("error", () => {});
  },
  Fails(_, done) {
    done({ code: grpc.status.FAILED_PRECONDITION, details: "no: ä", metadata: fields(["x-last", "2"]) });
  },
  Waits(call, done) {
    const timer = setTimeout(() => done(null, Buffer.alloc(0)), 10_000);
    call.on("cancelled", () => {
      clearTimeout(timer);
      left += 1;
    });
  },
};

const clients = new Map();
const Client = grpc.makeGenericClientConstructor({ ...service, Nothing: method("Nothing", false, false) });
const HealthClient = grpc.makeGenericClientConstructor(health.service);

// The clients of one channel.
function clientOf(it) {
  const key = `${it.address} ${it.retries}`;
  if (it.fresh && clients.has(key)) {
    clients.get(key).echo.close();
    clients.delete(key);
  }
  if (!clients.has(key)) {
    const trusted = it.authority ? grpc.credentials.createSsl(fs.readFileSync(it.authority)) : grpc.credentials.createInsecure();
    const options = { "grpc.use_local_subchannel_pool": 1 };
    if (it.retries) options["grpc.service_config"] = JSON.stringify(RETRIES);
    const echo = new Client(it.address, trusted, options);
    clients.set(key, { echo, health: new HealthClient(it.address, trusted, { channelOverride: echo.getChannel() }) });
  }
  return clients.get(key);
}

const until = (it) => ({ deadline: Date.now() + (it.deadline ?? GIVE_UP) * 1000 });
const nameOf = (code) => grpc.status[code];

// What a call with one answer ends with. `begin` takes its callback.
function single(begin) {
  return new Promise((resolve) => {
    const seen = {};
    const keep = (metadata) => {
      seen.first ??= metadata.get("x-first")[0];
      seen.last ??= metadata.get("x-last")[0];
      seen.last_bin ??= metadata.get("x-last-bin")[0]?.toString("hex");
    };
    let answer;
    const call = begin((error, message) => (answer = message));
    call.on("metadata", keep);
    call.on("status", (status) => {
      keep(status.metadata);
      // The callback comes right before or behind it.
      setImmediate(() => resolve({ ...seen, code: nameOf(status.code), message: status.details, answer }));
    });
  });
}

// What a call with many answers ends with.
function stream(call, each = () => {}) {
  return new Promise((resolve) => {
    const seen = { messages: 0, bytes: 0 };
    call.on("data", (message) => {
      seen.messages += 1;
      seen.bytes += message.length;
      each(message);
    });
    call.on("error", () => {});
    call.on("status", (status) => setImmediate(() => resolve({ ...seen, code: nameOf(status.code), message: status.details })));
  });
}

let watched = null;
const statusName = (answer) => answer.status;

const does = {
  async unary(it) {
    const client = clientOf(it).echo;
    const { answer, ...seen } = await single((done) => client[it.method](Buffer.alloc(it.bytes ?? 1), until(it), done));
    return { ...seen, bytes: answer?.length };
  },
  async cancelled(it) {
    const client = clientOf(it).echo;
    const { code } = await single((done) => {
      const call = client.Waits(Buffer.alloc(0), done);
      setTimeout(() => call.cancel(), it.after * 1000);
      return call;
    });
    return { code };
  },
  down(it) {
    return stream(clientOf(it).echo.Down(Buffer.alloc(it.bytes ?? 1), until(it)));
  },
  async up(it) {
    const client = clientOf(it).echo;
    const { answer, ...seen } = await single((done) => {
      const call = client.Up(until(it), done);
      for (let sent = 0; sent < 100; sent++) call.write(Buffer.alloc(it.bytes));
      call.end();
      return call;
    });
    return { ...seen, bytes: answer && Number(answer.toString()) };
  },
  // The next message goes out when the one before it has come back.
  async both(it) {
    const call = clientOf(it).echo.Both(until(it));
    const order = [];
    const turn = () => (order.length < it.messages ? call.write(Buffer.from(String(order.length))) : call.end());
    const ended = stream(call, (message) => {
      order.push(Number(message.toString()));
      turn();
    });
    turn();
    const seen = await ended;
    return { ...seen, in_order: order.every((number, place) => number === place) };
  },
  async many(it) {
    const client = clientOf(it).echo;
    const calls = Array.from({ length: it.count }, () => single((done) => client.Unary(Buffer.from("x"), until(it), done)));
    const codes = {};
    for (const { code } of await Promise.all(calls)) codes[code] = (codes[code] ?? 0) + 1;
    return { code: "OK", codes };
  },
  async check(it) {
    const client = clientOf(it).health;
    const { answer, ...seen } = await single((done) => client.check({ service: it.service }, until(it), done));
    return { ...seen, status: answer && statusName(answer) };
  },
  // The next status of a service; the first call begins to watch.
  async watch(it) {
    if (!watched) {
      const call = clientOf(it).health.watch({ service: it.service }, until(it));
      watched = { call, came: [], asked: [] };
      const { came, asked } = watched;
      const give = (seen) => (asked.length ? asked.shift()(seen) : came.push(seen));
      call.on("data", (answer) => give({ code: "OK", status: statusName(answer) }));
      call.on("error", () => {});
      call.on("status", (status) => {
        watched = null;
        give({ code: nameOf(status.code), message: status.details });
      });
    }
    const { came, asked } = watched;
    return came.length ? came.shift() : new Promise((resolve) => asked.push(resolve));
  },
  async unwatch() {
    watched.call.cancel();
    watched = null;
    return { code: "OK" };
  },
  async serving(it) {
    checks.setStatus("", it.serving ? "SERVING" : "NOT_SERVING");
    return {};
  },
  async told_left() {
    return { left };
  },
};

const server = new grpc.Server();
const checks = new health.HealthImplementation({ "": "SERVING" });
server.addService(service, echo);
checks.addToServer(server);
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), async (error, port) => {
  if (error) throw error;
  console.log(JSON.stringify({ port, version: require("@grpc/grpc-js/package.json").version }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const it = JSON.parse(line);
    const begun = performance.now();
    const seen = await does[it.do](it);
    console.log(JSON.stringify({ ...seen, seconds: (performance.now() - begun) / 1000 }));
  }
  process.exit(0);
});
