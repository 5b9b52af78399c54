// What the page knows: its content, what is chosen, and the small pieces that all else is made of.
const $ = (id) => document.getElementById(id);
const content = JSON.parse($("content").textContent);
const { models, episodes } = content;
const video = $("video");
const COLORS = ["blue", "gold", "violet", "teal", "pink", "muted"];
const color = (model) => `var(--${COLORS[model % COLORS.length]})`;
const truth = (episode) => (episode.success === null ? "unknown" : !episode.success ? "failure" : episode.lostStep === null ? "success" : "lost");
const SVG = "http://www.w3.org/2000/svg";
const state = { episode: -1, frame: 0, playing: false, order: [], down: false, shown: models.map(() => true), front: 0 };
const now = () => episodes[state.episode];

function element(name, attributes = {}, text = "") {
  const made = ["svg", "path", "line", "rect", "circle", "text", "g"].includes(name)
    ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  return made;
}
const number = (value, signed = false) => value === null || value === undefined ? "–"
  : (signed && value >= 0.0005 ? "+" : "") + value.toFixed(3).replace(/^-0\.000$/, "0.000").replace("-", "−");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// The last entry of ascending steps that is not after the given one; 0 before any.
function rowAt(steps, step) {
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (steps[middle] <= step) low = middle; else high = middle - 1;
  }
  return low;
}
