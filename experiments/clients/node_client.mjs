// node_client.mjs URL TIMES: the last of TIMES requests by Node's fetch, as a programmer sees it.
const [url, times] = process.argv.slice(2);

async function get() {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
  const content = await answer.arrayBuffer();
  return `${answer.status}, ${content.byteLength} bytes`;
}

for (let before = 1; before < Number(times); before++) await get();
try {
  console.log(await get());
} catch (error) {
  const { cause } = error;
  const why = cause ? ` (cause: ${cause.code ?? cause.name}: ${cause.message})` : '';
  console.log(`${error.name}: ${error.message}${why}`);
}
process.exit(0);
