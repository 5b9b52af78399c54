// The plot: curves, bands, milestones, hops, and the cursor over them.
let frame = null; // the plot's measures
function measure() {
  const box = $("plot").getBoundingClientRect();
  const steps = now().steps;
  const first = steps[0], last = Math.max(steps[steps.length - 1], first + 1);
  const width = Math.max(box.width, 200), height = Math.max(box.height, 200);
  const hops = now().curves.some((curve) => curve && curve.gain);
  frame = { width, height, left: 38, right: width - 14, top: 20, bottom: height - (hops ? 100 : 30), first, last, hops, lane: height - 58, reach: 24 };
  frame.x = (step) => frame.left + (step - first) / (last - first) * (frame.right - frame.left);
  frame.y = (value) => frame.bottom - value * (frame.bottom - frame.top);
}

function draw() {
  if (state.episode < 0) return;
  measure();
  const plot = $("plot");
  plot.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  plot.replaceChildren(...grid(), ...reached());
  const order = now().curves.map((_, i) => i).filter((i) => now().curves[i] && state.shown[i] && i !== state.front);
  if (state.shown[state.front]) order.push(state.front);
  for (const i of order) plot.append(...bandOf(i));
  for (const i of order) plot.append(...lineOf(i));
  plot.append(...hopsOf(now().curves[state.front]));
  const cursor = element("g", { id: "cursor", "pointer-events": "none" });
  plot.append(cursor);
  legend();
}

function grid() {
  const made = [0, 0.25, 0.5, 0.75, 1].flatMap((value) => [
    element("line", { class: "grid", x1: frame.left, x2: frame.right, y1: frame.y(value), y2: frame.y(value) }),
    element("text", { x: frame.left - 7, y: frame.y(value) + 4, "text-anchor": "end" }, value),
  ]);
  for (const step of ticks(frame.first, frame.last, frame.width / 90)) {
    made.push(element("text", { x: frame.x(step), y: frame.height - 10, "text-anchor": "middle" }, step));
  }
  made.push(element("text", { x: frame.left, y: 11 }, "progress"));
  made.push(element("text", { x: frame.left - 7, y: frame.height - 10, "text-anchor": "end" }, "step"));
  return made;
}

function ticks(first, last, most) {
  const rough = (last - first) / Math.max(most, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  const apart = Math.max(1, [1, 2, 5, 10].map((f) => f * power).find((size) => size >= rough));
  const found = [];
  for (let step = Math.ceil(first / apart) * apart; step <= last; step += apart) found.push(step);
  return found;
}

function reached() {
  const step = now().successStep;
  if (step === null) return [];
  const x = frame.x(step), late = x > frame.right - 90;
  const until = now().lostStep === null ? frame.right : frame.x(now().lostStep);
  return [
    element("rect", { class: "reached", x, y: frame.top, width: Math.max(until - x, 0), height: frame.bottom - frame.top }),
    element("line", { class: "reached-line", x1: x, x2: x, y1: frame.top, y2: frame.bottom }),
    element("text", { class: "reached-text", x: late ? x - 6 : x + 6, y: frame.bottom - 8, "text-anchor": late ? "end" : "start" }, "true success"),
  ];
}

const path = (steps, values) => "M" + steps.map((step, k) => `${frame.x(step).toFixed(2)} ${frame.y(values[k]).toFixed(2)}`).join("L");

function bandOf(i) {
  const curve = now().curves[i];
  if (!curve.uncertainty) return [];
  const edge = (sign) => curve.progress.map((value, k) => clamp(value + sign * curve.uncertainty[k], 0, 1));
  const back = path([...curve.steps].reverse(), edge(-1).reverse()).slice(1);
  return [element("path", { class: "band", fill: color(i), d: `${path(curve.steps, edge(1))}L${back}Z` })];
}

function lineOf(i) {
  const curve = now().curves[i], front = i === state.front;
  const made = [element("path", { class: front ? "curve" : "curve behind", stroke: color(i), d: path(curve.steps, curve.progress) })];
  for (const step of curve.milestones) {
    const x = frame.x(step), y = frame.y(curve.progress[rowAt(curve.steps, step)]);
    if (front) made.unshift(element("line", { class: "milestone-line", x1: x, x2: x, y1: frame.top, y2: frame.bottom }));
    made.push(element("circle", { class: "milestone", stroke: color(i), cx: x, cy: y, r: front ? 4 : 3 }));
  }
  const last = curve.steps.length - 1;
  made.push(element("circle", { class: "end", cx: frame.x(curve.steps[last]), cy: frame.y(curve.progress[last]), r: 5 }));
  return made;
}

function hopsOf(curve) {
  if (!curve || !curve.gain) return [];
  const thick = clamp((frame.right - frame.left) / curve.steps.length * 0.6, 1, 9);
  const made = [
    element("line", { class: "grid", x1: frame.left, x2: frame.right, y1: frame.lane, y2: frame.lane }),
    element("text", { x: frame.left - 7, y: frame.lane + 4, "text-anchor": "end" }, "hop"),
  ];
  curve.gain.forEach((hop, k) => {
    if (!hop) return;
    const high = Math.max(Math.abs(hop) * frame.reach, 0.75), y = hop > 0 ? frame.lane - high : frame.lane;
    made.push(element("rect", { class: hop > 0 ? "up" : "down", x: frame.x(curve.steps[k]) - thick / 2, y, width: thick, height: high, rx: 1 }));
  });
  return made;
}

function legend() {
  const curve = now().curves[state.front], made = [];
  const entry = (mark, text) => { const span = element("span"); span.append(...mark, text); made.push(span); };
  const dot = (kind, style = "") => element("i", { class: kind, style });
  if (models.length > 1) {
    now().curves.forEach((one, i) => { if (one && state.shown[i]) entry([dot("", `background:${color(i)}`)], models[i]); });
  }
  entry([dot("", "background:var(--truth)")], `end: ${truth(now())}`);
  if (curve && curve.uncertainty) entry([], "band: uncertainty");
  if (now().curves.some((one, i) => one && state.shown[i] && one.milestones.length)) entry([dot("ring")], "milestone");
  if (curve && curve.gain) entry([dot("bar", "background:var(--good)"), dot("bar", "background:var(--bad);margin-right:6px")], models.length > 1 ? `hops of ${models[state.front]}` : "hops");
  $("legend").replaceChildren(...made);
}

function moveCursor() {
  const step = now().steps[state.frame], x = frame.x(step);
  const made = [
    element("line", { class: "cursor", x1: x, x2: x, y1: frame.top - 6, y2: frame.hops ? frame.lane + frame.reach : frame.bottom }),
    element("path", { class: "knob", d: `M${x - 5} ${frame.top - 11}h10l-5 7z` }),
  ];
  now().curves.forEach((curve, i) => {
    if (!curve || !state.shown[i]) return;
    const k = rowAt(curve.steps, step);
    made.splice(i === state.front ? made.length : 2, 0, element("circle", { class: "at", fill: color(i), cx: frame.x(curve.steps[k]), cy: frame.y(curve.progress[k]), r: 5.5 }));
  });
  const cursor = $("cursor");
  cursor.dataset.step = step;
  cursor.replaceChildren(...made);
}
