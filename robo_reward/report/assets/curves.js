// The player: one cursor, a frame of the episode, that moves the video, the plot and the numbers together.
// --- the cursor ---

// Shows a frame everywhere but in the video.
function follow(k) {
  state.frame = clamp(k, 0, now().steps.length - 1);
  $("scrub").value = state.frame;
  moveCursor();
  readNumbers();
}

// Shows a frame everywhere; the middle of its time in the video is safe from rounding at its edges.
function go(k) {
  follow(k);
  if (video.src) video.currentTime = (state.frame + 0.5) / now().videoFps;
}

function nearest(event) {
  const box = $("plot").getBoundingClientRect();
  const share = ((event.clientX - box.left) * frame.width / box.width - frame.left) / (frame.right - frame.left);
  const step = frame.first + share * (frame.last - frame.first), steps = now().steps;
  const k = rowAt(steps, step);
  return k + 1 < steps.length && steps[k + 1] - step < step - steps[k] ? k + 1 : k;
}

// --- playing ---

const ICONS = { play: "M3 1.5v12l10-6z", pause: "M2.5 1.5h3.5v12h-3.5zM9 1.5h3.5v12h-3.5z" };
function button() {
  const svg = element("svg", { viewBox: "0 0 15 15" });
  svg.append(element("path", { d: state.playing ? ICONS.pause : ICONS.play }));
  $("play").replaceChildren(svg);
}
const playable = () => Boolean(video.src) && !video.error;
const atEnd = () => state.frame >= now().steps.length - 1;

function play() {
  if (atEnd()) go(0);
  state.playing = true;
  button();
  if (playable()) {
    video.playbackRate = Number($("speed").value);
    video.play().catch(pause);
  } else tick(performance.now(), state.frame);
}
function pause() {
  state.playing = false;
  button();
  if (video.src) video.pause();
}
function toggle() { if (state.playing) { pause(); go(state.frame); } else play(); }

// Plays curves that have no video.
function tick(begin, from) {
  requestAnimationFrame((time) => {
    if (!state.playing || playable()) return;
    const k = from + Math.floor(Math.max(time - begin, 0) / 1000 * now().videoFps * Number($("speed").value));
    follow(k);
    if (atEnd()) pause(); else tick(begin, from);
  });
}

const shownFrame = () => Math.floor(video.currentTime * now().videoFps + 1e-6);
function watch(_, shown) {
  if (state.playing && shown) follow(Math.round(shown.mediaTime * now().videoFps));
  video.requestVideoFrameCallback(watch);
}
if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(watch);
else video.addEventListener("timeupdate", () => state.playing && follow(shownFrame()));
video.addEventListener("loadedmetadata", () => go(state.frame));
video.addEventListener("seeking", () => { if (shownFrame() !== state.frame) follow(shownFrame()); });
video.addEventListener("ended", () => { pause(); follow(now().steps.length - 1); });
video.addEventListener("error", () => { if (video.src) $("unplayable").hidden = false; });

// --- hands ---

const stepTo = (k) => { pause(); go(k); };
$("plot").addEventListener("pointerdown", (event) => { $("plot").setPointerCapture(event.pointerId); stepTo(nearest(event)); });
$("plot").addEventListener("pointermove", (event) => { if (event.buttons & 1) stepTo(nearest(event)); });
$("scrub").addEventListener("input", () => stepTo(Number($("scrub").value)));
$("play").addEventListener("click", toggle);
video.addEventListener("click", toggle);
$("speed").addEventListener("change", () => { video.playbackRate = Number($("speed").value); if (state.playing && !playable()) { pause(); play(); } });
$("sort").addEventListener("change", () => { state.down = $("sort").selectedIndex > 0; sortEpisodes(); });
$("turn").addEventListener("click", () => { state.down = !state.down; sortEpisodes(); });

function another(offset) {
  const place = state.order.indexOf(state.episode) + offset;
  if (place >= 0 && place < state.order.length) open(state.order[place]);
}
const actions = {
  " ": toggle,
  ArrowLeft: (event) => stepTo(state.frame - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => stepTo(state.frame + (event.shiftKey ? 10 : 1)),
  ArrowUp: () => another(-1),
  ArrowDown: () => another(1),
  Home: () => stepTo(0),
  End: () => stepTo(now().steps.length - 1),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
  const digit = /^[1-9]$/.test(event.key) && Number(event.key) <= models.length;
  if (!digit && !actions[event.key]) return;
  event.preventDefault(); // the page would scroll, a focused button would be pressed as well
  if (digit) show(Number(event.key) - 1); else actions[event.key](event);
});
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.tagName === "BUTTON") event.preventDefault();
});
new ResizeObserver(() => { if (state.episode >= 0) { draw(); moveCursor(); } }).observe($("plot"));

$("sort").append(...keys.map(([name]) => element("option", {}, name)));
document.querySelector(".player").classList.toggle("single", episodes.length === 1);
sortEpisodes();
button();
open(state.order[0]);
