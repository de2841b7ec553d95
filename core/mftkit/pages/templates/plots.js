(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const hidden = new Set();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const read = (node) => JSON.parse(node.querySelector("script").textContent);
  const figures = new Map([...document.querySelectorAll(".plot")].map((node) => [node, read(node)]));

  function data(node, figure) {
    const ink = colour("--ink");
    return figure.data.map((trace) => {
      if (!trace.line) return trace;  // a heat map has colors of its own
      const own = !trace.line.color;
      const line = own ? { ...trace.line, color: ink } : trace.line;
      const seen = trace.meta.group === null || !hidden.has(`${node.dataset.legend} ${trace.meta.group}`);
      return { ...trace, line, marker: { ...trace.marker, color: line.color }, visible: seen };
    });
  }

  function layout(figure) {
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), tickcolor: colour("--line") };
    return {
      ...figure.layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: colour("--soft") },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      dragmode: touch ? false : "zoom",
      xaxis: { ...figure.layout.xaxis, ...axis },
      yaxis: { ...figure.layout.yaxis, ...axis },
    };
  }

  const config = { displaylogo: false, displayModeBar: false };
  const sized = new ResizeObserver((seen) => seen.forEach(({ target }) => {
    const full = target._fullLayout;
    if (full && target.clientWidth && full.width !== target.clientWidth) Plotly.relayout(target, { width: target.clientWidth });
  }));
  const draw = (node) => {
    const figure = figures.get(node);
    sized.observe(node);
    const size = { width: node.clientWidth, height: node.clientHeight };
    return Plotly.react(node, data(node, figure), { ...layout(figure), ...size }, config);
  };
  const drawn = () => [...figures.keys()].filter((node) => node.classList.contains("js-plotly-plot"));
  const open = (node) => !node.parentElement.closest("details:not([open])");

  const first = [...figures.keys()].filter(open).map(draw);
  document.addEventListener("toggle", (event) => {
    if (event.target.open) event.target.querySelectorAll(".plot").forEach((node) => open(node) && draw(node));
  }, true);
  dark.addEventListener("change", () => drawn().forEach(draw));
  document.querySelectorAll(".legend button").forEach((button) => button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    const key = `${button.dataset.legend} ${button.dataset.group}`;
    button.setAttribute("aria-pressed", String(shown));
    shown ? hidden.delete(key) : hidden.add(key);
    drawn().filter((node) => node.dataset.legend === button.dataset.legend).forEach(draw);
  }));
  Promise.all(first).then(() => document.documentElement.setAttribute("data-drawn", "yes"));
})();
