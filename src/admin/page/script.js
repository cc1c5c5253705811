// The dashboard: asks the server every two seconds while somebody looks, and goes on by
// itself when the server has been away.

import { Plot } from "./plot.js";
import * as sections from "./sections.js";
import { byId, mark, micros, put, seconds, short } from "./text.js";

const EACH_MS = 2000;
const PATIENCE_MS = 8000;
const KEPT_MS = 31 * 60_000;

const seen = { status: null, vista: null, talkers: null, rows: [], seq: 0, started: null, away: null, version: null };

// ---- what is chosen, and kept for the next time -----------------------------

function remembered(name) {
  try { return localStorage.getItem(`skyring.${name}`); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(`skyring.${name}`, value); } catch { /* Nowhere to keep it. */ }
}

function choice(name, apply) {
  const inputs = [...document.querySelectorAll(`#${name} input`)];
  const kept = inputs.find((input) => input.value === remembered(name));
  if (kept) kept.checked = true;
  const chosen = () => inputs.find((input) => input.checked).value;
  for (const input of inputs) {
    input.addEventListener("change", () => { remember(name, chosen()); apply(chosen()); });
  }
  apply(chosen());
  return chosen;
}

choice("theme", (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
});

const each = (column) => (row) => (1000 * column(row)) / row.span_ms;
const received = (row) => Object.keys(row).filter((name) => name.startsWith("received.")).reduce((sum, name) => sum + row[name], 0);
const latency = (name) => (row) => (row[name] < 0 ? null : row[name]);
const plots = {
  points: new Plot(byId("plot-points"), {
    label: "Points a second",
    format: short,
    series: [
      { label: "Received", value: each(received) },
      { label: "Stored", value: each((row) => row.stored) },
      { label: "Not stored", value: each((row) => row.dropped) },
    ],
  }),
  latency: new Plot(byId("plot-latency"), {
    label: "Latency",
    format: micros,
    log: true,
    series: [
      { label: "Median", value: latency("p50_us") },
      { label: "p99", value: latency("p99_us") },
      { label: "Most", value: latency("max_us") },
    ],
  }),
};

function drawPlots() {
  for (const plot of Object.values(plots)) plot.show(seen.rows, Number(range()));
}

function drawTalkers() {
  if (seen.talkers) sections.talkers(seen.talkers, depth());
}

let range = () => 5;
let depth = () => "1";
range = choice("range", drawPlots);
depth = choice("depth", drawTalkers);
byId("vista-find").addEventListener("input", () => turn());

// ---- asking -----------------------------------------------------------------

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function askAll() {
  const status = await ask("api/status");
  if (seen.started !== status.started_ms) {
    // Another server, whose rows have numbers of their own.
    seen.started = status.started_ms;
    seen.seq = 0;
  }
  const find = byId("vista-find").value.trim();
  const [history, talkers, vista] = await Promise.all([
    ask(`api/history?after=${seen.seq}`),
    ask("api/talkers"),
    find === "" ? status.vista : ask(`api/vista?find=${encodeURIComponent(find)}`),
  ]);
  seen.status = status;
  seen.vista = vista;
  seen.talkers = talkers;
  seen.seq = history.last;
  const rows = history.rows.map((row) => Object.fromEntries(history.columns.map((column, n) => [column, row[n]])));
  const known = seen.rows.at(-1)?.at_ms ?? 0;
  seen.rows.push(...rows.filter((row) => row.at_ms > known));
  const from = (seen.rows.at(-1)?.at_ms ?? 0) - KEPT_MS;
  seen.rows = seen.rows.filter((row) => row.at_ms >= from);
}

function showState() {
  const { status } = seen;
  const pill = byId("state");
  const [is, text] = status.draining ? ["warn", "Draining"] : status.ready ? ["good", "Ready"] : ["bad", "Not ready"];
  mark(pill, is);
  put(pill, text);
  document.title = status.ready ? "Skyring" : `${text} \u00b7 Skyring`;
  put(byId("about"), `${status.version}, up ${seconds((status.now_ms - status.started_ms) / 1000)}`);
  tell(status.ready ? "" : status.reason);
}

function tell(trouble) {
  const place = byId("trouble");
  place.hidden = trouble === "";
  put(place, trouble);
}

function show() {
  const { status, rows } = seen;
  showState();
  sections.tiles(status, rows);
  sections.hint(status);
  sections.listeners(status, rows);
  sections.dropped(status);
  sections.faults(status);
  sections.shards(status);
  sections.redis(status);
  sections.trim(status);
  sections.flux(status);
  sections.vista(seen.vista, status.now_ms);
  drawPlots();
  drawTalkers();
}

function showAway() {
  const now = Date.now();
  seen.away ??= now;
  mark(byId("state"), "bad");
  put(byId("state"), "No answer");
  document.title = "No answer \u00b7 Skyring";
  const since = seen.status ? ` What is shown is ${seconds((now - seen.away) / 1000)} old.` : "";
  tell(`The server does not answer; asking again every two seconds.${since}`);
}

let timer = null;
let asking = false;

async function turn() {
  clearTimeout(timer);
  if (asking || document.visibilityState !== "visible") return;
  asking = true;
  const answered = await askAll().then(() => true, () => false);
  asking = false;
  timer = setTimeout(turn, EACH_MS);
  if (!answered) {
    showAway();
    return;
  }
  seen.away = null;
  // A new version has a new page.
  seen.version ??= seen.status.version;
  if (seen.version !== seen.status.version) location.reload();
  show();
}

document.addEventListener("visibilitychange", turn);
turn();
