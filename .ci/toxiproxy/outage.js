// A whole outage with the published client for Node (toxiproxy-node-client), unchanged.
const assert = require("node:assert");
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

function saidBack(address) {
  const [host, port] = address.split(":");
  return new Promise((resolve, reject) => {
    const began = Date.now();
    const client = net.connect(Number(port), host, () => client.write("ping"));
    client.on("data", () => { client.destroy(); resolve(Date.now() - began); });
    client.on("error", reject);
    client.on("end", () => reject(new Error("closed")));
  });
}

async function main() {
  const echo = net.createServer((client) => { client.on("error", () => {}); client.pipe(client); });
  await new Promise((done) => echo.listen(0, "127.0.0.1", done));
  const upstream = `127.0.0.1:${echo.address().port}`;
  const server = new Toxiproxy(`http://127.0.0.1:${process.argv[2]}`);
  assert.match(await server.getVersion(), /2\.12\.0/);

  const proxy = await server.createProxy({ name: "redis", listen: "localhost:0", upstream });
  assert(await saidBack(proxy.listen) < 1000);
  await assert.rejects(server.createProxy({ name: "redis", listen: "localhost:0", upstream }));
  await assert.rejects(server.get("none"));

  const toxic = await proxy.addToxic({ name: "slow", type: "latency", stream: "downstream", toxicity: 1, attributes: { latency: 200, jitter: 0 } });
  assert.deepStrictEqual(toxic.attributes, { latency: 200, jitter: 0 });
  assert(await saidBack(proxy.listen) >= 199);
  const got = await proxy.getToxic("slow");
  assert.strictEqual(got.toxicity, 1);
  const down = await proxy.update({ enabled: false, listen: proxy.listen, upstream });
  assert.strictEqual(down.enabled, false);
  await assert.rejects(saidBack(proxy.listen));

  await server.reset();
  assert(await saidBack(proxy.listen) < 200);
  const all = await server.getAll();
  assert.deepStrictEqual(Object.keys(all), ["redis"]);
  const populated = await server.populate([{ name: "one", listen: "127.0.0.1:0", upstream }]);
  assert.strictEqual(populated.one.enabled, true);
  await populated.one.remove();
  await (await server.get("redis")).remove();
  assert.deepStrictEqual(await server.getAll(), {});
  echo.close();
  console.log("toxiproxy-node-client: ok");
}

main().catch((error) => { console.error(error); process.exit(1); });
