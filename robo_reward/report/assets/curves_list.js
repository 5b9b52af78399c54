// The list of episodes, the one that is open, and its numbers.
// --- the list of episodes ---

const agree = models.length > 1 ? "disagreement" : "uncertainty";
const keys = [
  ["episode", (i) => i, () => ""],
  ["final progress", (i) => episodes[i].final, () => ""],
  [agree, (i) => episodes[i].disagreement, (i) => `${agree} ${number(episodes[i].disagreement)}`],
  ["gap to the truth", (i) => episodes[i].miss, (i) => `gap to the truth ${number(episodes[i].miss)}`],
].filter(([, key]) => episodes.some((_, i) => key(i) !== null));

function sortEpisodes() {
  const [, key, note] = keys[$("sort").selectedIndex];
  const sign = state.down ? -1 : 1;
  const last = (i) => key(i) === null; // what has no number stands last either way
  state.order = episodes.map((_, i) => i)
    .sort((a, b) => last(a) - last(b) || sign * (key(a) - key(b)) || a - b);
  $("turn").textContent = state.down ? "↓" : "↑";
  $("episodes").replaceChildren(...state.order.map((i) => row(i, note(i))));
  markEpisode();
}

function row(index, note) {
  const episode = episodes[index];
  const item = element("li", { role: "option", id: `episode-${index}`, "data-index": index, "data-truth": truth(episode) });
  item.title = `${episode.task} (${truth(episode)})`;
  const name = element("span", {}, episode.name);
  if (note) name.append(element("small", {}, note));
  item.append(element("i"), name, spark(episode), element("b", {}, episode.final.toFixed(2)));
  item.addEventListener("click", () => open(index));
  return item;
}

function spark(episode) {
  const svg = element("svg", { viewBox: "0 0 76 24", "aria-hidden": "true" });
  const last = Math.max(episode.steps[episode.steps.length - 1], 1);
  for (const curve of episode.curves) {
    if (!curve) continue;
    const points = curve.steps.map((step, k) => `${(76 * step / last).toFixed(1)} ${(22 - 20 * curve.progress[k]).toFixed(1)}`);
    svg.append(element("path", { d: "M" + points.join("L") }));
  }
  return svg;
}

function markEpisode() {
  for (const item of $("episodes").children) {
    const chosen = Number(item.dataset.index) === state.episode;
    item.setAttribute("aria-selected", chosen);
    if (chosen) item.scrollIntoView({ block: "nearest" });
  }
}

function open(index) {
  if (index === state.episode) return;
  pause();
  state.episode = index;
  state.frame = 0;
  const episode = now();
  $("name").textContent = episode.name;
  $("task").textContent = episode.task;
  $("truth").textContent = {
    success: "success", lost: `success, lost again at step ${episode.lostStep}`, failure: "failure", unknown: "outcome unknown",
  }[truth(episode)];
  document.querySelector(".stage").dataset.truth = truth(episode);
  $("scrub").max = episode.steps.length - 1;
  const data = $(`video-${index}`);
  document.querySelector(".pair").classList.toggle("blind", !data);
  document.querySelector(".pair").style.setProperty("--film", episode.views.length > 1 ? "7fr" : "5fr");
  $("views").replaceChildren(...episode.views.map((view) => element("span", {}, view)));
  $("unplayable").hidden = true;
  if (data) video.src = "data:video/mp4;base64," + data.textContent; else video.removeAttribute("src");
  if (!episode.curves[state.front]) state.front = episode.curves.findIndex((curve) => curve);
  markEpisode();
  fillModels();
  draw();
  go(0);
}

// --- the numbers ---

function fillModels() {
  const rows = now().curves.map((curve, i) => curve && modelRow(curve, i)).filter(Boolean);
  $("models").tBodies[0].replaceChildren(...rows);
}

function modelRow(curve, i) {
  const line = element("tr", { "data-model": i, style: `--own:${color(i)}` });
  line.classList.toggle("off", !state.shown[i]);
  line.classList.toggle("front", models.length > 1 && state.front === i);
  const name = element("td");
  const box = element("input", { type: "checkbox", "aria-label": `show ${models[i]}` });
  box.checked = state.shown[i];
  box.addEventListener("change", () => show(i));
  box.addEventListener("click", (event) => event.stopPropagation());
  name.append(box, models[i]);
  line.append(name, ...["progress", "gain", "claimed", "uncertainty", "step"].map((key) => element("td", { class: "n", "data-key": key })));
  line.append(element("td", { class: "n" }, number(curve.progress[curve.progress.length - 1])));
  line.addEventListener("click", () => { state.front = i; state.shown[i] = true; refresh(); });
  return line;
}

function show(i) {
  if (!now().curves[i]) return;
  state.shown[i] = !state.shown[i];
  refresh();
}
function refresh() { fillModels(); draw(); moveCursor(); readNumbers(); }

function readNumbers() {
  const step = now().steps[state.frame];
  for (const line of $("models").tBodies[0].rows) {
    const curve = now().curves[line.dataset.model];
    const k = rowAt(curve.steps, step);
    for (const cell of line.querySelectorAll("[data-key]")) {
      const key = cell.dataset.key;
      const value = key === "step" ? curve.steps[k] : curve[key] && curve[key][k];
      cell.dataset.value = value;
      cell.textContent = key === "step" ? value : number(value, key === "gain");
      if (key !== "progress") continue;
      cell.classList.add("now");
      const bar = element("span", { class: "bar" });
      bar.append(element("i", { style: `width:${100 * clamp(value, 0, 1)}%` }));
      cell.prepend(bar);
    }
  }
  const seconds = (step / now().fps).toFixed(2);
  $("clock").textContent = `step ${step} · ${seconds} s · frame ${state.frame + 1}/${now().steps.length}`;
}
