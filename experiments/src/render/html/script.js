// Tells the numbers of one second of a chart: under the pointer, or by the arrow keys. The page says all without it.
(() => {
  // On a phone the words would stand before everything else.
  const words = document.querySelector("details.words");
  if (words && matchMedia("(max-width: 640px)").matches) words.open = false;
  const source = document.getElementById("result");
  if (!source) return;
  const result = JSON.parse(source.textContent);
  const LEFT = 58, RIGHT = 14;
  const ms = (value) => value === undefined ? "–" : value < 1000 ? value.toFixed(value < 10 ? 1 : 0) + " ms" : (value / 1000).toFixed(2) + " s";
  for (const figure of document.querySelectorAll("figure.hop")) {
    const own = new Map(result.seconds.filter((it) => it.hop === figure.dataset.hop).map((it) => [it.second, it]));
    const seconds = Number(figure.dataset.seconds);
    const output = figure.querySelector("output");
    let at = -1;
    const show = (second) => {
      at = Math.max(0, Math.min(seconds - 1, second));
      const it = own.get(at);
      if (!it) { output.textContent = `Second ${at}: nothing.`; return; }
      const phase = result.phases.filter((it) => it.from_ms <= at * 1000 + 500 && !(it.to_ms < at * 1000 + 500)).pop();
      const latency = it.p50_ms === undefined ? `mean ${ms(it.mean_ms)}` : `median ${ms(it.p50_ms)}, p99 ${ms(it.p99_ms)}`;
      output.textContent = `Second ${at}${phase ? `, phase ${phase.name}` : ""}: ${Math.round(it.requests)} ${figure.dataset.of}, ` +
        `${Math.round(it.errors)} failed${it.degraded ? `, ${Math.round(it.degraded)} fallback` : ""}; ${latency}.`;
    };
    for (const svg of figure.querySelectorAll("svg")) {
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const width = svg.viewBox.baseVal.width;
        const x = (event.clientX - box.left) / box.width * width;
        show(Math.floor((x - LEFT) / (width - LEFT - RIGHT) * seconds));
      });
    }
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(at + step);
    });
  }
})();
