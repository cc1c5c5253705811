// A line plot over time, drawn as SVG. Its legend has the newest values, or those under
// the pointer, or those chosen by the arrow keys.

const SVG = "http://www.w3.org/2000/svg";
const ROOM = { left: 52, right: 8, top: 8, bottom: 20 };
const HEIGHT = 220;

function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Three or four round numbers from 0 to at least `max`.
function linearTicks(max) {
  const raw = Math.max(max, 1) / 3;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * size).find((n) => n >= raw);
  const ticks = [0];
  while (ticks.length < 4 || ticks.at(-1) < max) ticks.push(ticks.length * step);
  return ticks;
}

// Powers of ten around the values.
function logTicks(min, max) {
  const from = Math.floor(Math.log10(Math.max(min, 1)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(max, 2))));
  return Array.from({ length: to - from + 1 }, (_, n) => 10 ** (from + n));
}

export class Plot {
  // `series`: [{ label, value(row) }], where no value is null. `format` makes text of one.
  constructor(place, { label, series, format, log = false }) {
    Object.assign(this, { label, series, format, log, rows: [], minutes: 5, at: null, gap: 5000 });
    this.svg = svg("svg", { role: "img", tabindex: "0" });
    this.grid = svg("g");
    this.area = svg("path", { class: "area" });
    this.paths = series.map((_, n) => svg("path", { class: `s${n}` }));
    this.cursor = svg("line", { class: "cursor", visibility: "hidden" });
    this.svg.append(this.grid, this.area, ...this.paths, this.cursor);
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    this.values = series.map(({ label }, n) => {
      const item = document.createElement("span");
      const key = svg("svg", { "aria-hidden": "true" });
      key.append(svg("path", { d: "M1 4H21", class: `s${n}` }));
      const value = document.createElement("b");
      item.append(key, label, value);
      this.legend.append(item);
      return value;
    });
    this.when = document.createElement("span");
    this.when.className = "when";
    this.legend.append(this.when);
    place.append(this.svg, this.legend);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
    this.svg.addEventListener("blur", () => this.choose(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  show(rows, minutes) {
    this.minutes = minutes;
    this.rows = rows;
    this.draw();
  }

  shown() {
    const to = this.rows.at(-1)?.at_ms ?? Date.now();
    const from = to - this.minutes * 60_000;
    return { from, to, rows: this.rows.filter((row) => row.at_ms >= from) };
  }

  draw() {
    const width = this.svg.clientWidth;
    if (width === 0) return;
    const { from, to, rows } = this.shown();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const all = rows.flatMap((row) => this.series.map((s) => s.value(row))).filter((v) => v !== null);
    const max = Math.max(0, ...all);
    const ticks = this.log ? logTicks(Math.min(...all, max || 1), max) : linearTicks(max);
    const [low, high] = [ticks[0], ticks.at(-1)];
    const scale = this.log
      ? (v) => (Math.log10(Math.max(v, low)) - Math.log10(low)) / (Math.log10(high) - Math.log10(low))
      : (v) => v / high;
    const inner = { w: width - ROOM.left - ROOM.right, h: HEIGHT - ROOM.top - ROOM.bottom };
    this.x = (at) => ROOM.left + ((at - from) / (to - from)) * inner.w;
    this.y = (v) => ROOM.top + (1 - scale(v)) * inner.h;
    this.drawGrid(ticks, from, to, width);
    this.series.forEach((series, n) => this.paths[n].setAttribute("d", this.line(rows, series)));
    const first = this.log ? "" : this.line(rows, this.series[0], true);
    this.area.setAttribute("d", first);
    this.choose(this.at);
  }

  drawGrid(ticks, from, to, width) {
    this.grid.replaceChildren();
    for (const tick of ticks) {
      const y = this.y(tick);
      this.grid.append(svg("line", { class: "grid", x1: ROOM.left, x2: width - ROOM.right, y1: y, y2: y }));
      const text = svg("text", { x: ROOM.left - 8, y: y + 4, "text-anchor": "end" });
      text.textContent = this.format(tick);
      this.grid.append(text);
    }
    const steps = width < 420 ? 2 : 5;
    for (let n = 0; n <= steps; n += 1) {
      const at = from + ((to - from) * n) / steps;
      const anchor = n === 0 ? "start" : n === steps ? "end" : "middle";
      const text = svg("text", { x: this.x(at), y: HEIGHT - 4, "text-anchor": anchor });
      text.textContent = clock(at, this.minutes > 5 || steps === 2);
      this.grid.append(text);
    }
  }

  // A path through the values, broken where there are none; with `closed`, what is
  // below it.
  line(rows, series, closed = false) {
    const parts = [];
    let part = [];
    let last = null;
    for (const row of rows) {
      const value = series.value(row);
      if (value === null || (last !== null && row.at_ms - last > row.span_ms + this.gap)) {
        if (part.length) parts.push(part);
        part = [];
      }
      if (value !== null) part.push([this.x(row.at_ms), this.y(value)]);
      last = row.at_ms;
    }
    if (part.length) parts.push(part);
    const base = HEIGHT - ROOM.bottom;
    return parts.map((points) => {
      const path = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      if (!closed) return points.length > 1 ? `M${path}` : `M${path}h.1`;
      return `M${points[0][0].toFixed(1)} ${base}L${path}L${points.at(-1)[0].toFixed(1)} ${base}Z`;
    }).join("");
  }

  point(event) {
    const { from, to, rows } = this.shown();
    if (!rows.length) return;
    const box = this.svg.getBoundingClientRect();
    const inner = box.width - ROOM.left - ROOM.right;
    const at = from + ((event.clientX - box.left - ROOM.left) / inner) * (to - from);
    const near = (a, b) => (Math.abs(a.at_ms - at) <= Math.abs(b.at_ms - at) ? a : b);
    this.choose(rows.reduce(near).at_ms);
  }

  key(event) {
    const { rows } = this.shown();
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !rows.length) return;
    event.preventDefault();
    const now = this.at === null ? rows.length - 1 : rows.findIndex((row) => row.at_ms >= this.at);
    const next = Math.min(Math.max(now + step, 0), rows.length - 1);
    this.choose(rows[next].at_ms);
  }

  // Shows the values of one time, or the newest.
  choose(at) {
    this.at = at;
    const { rows } = this.shown();
    const row = (at !== null && rows.find((row) => row.at_ms === at)) || rows.at(-1);
    const texts = this.series.map((series) => {
      const value = row ? series.value(row) : null;
      return value === null ? "\u2013" : this.format(value);
    });
    texts.forEach((text, n) => { this.values[n].textContent = text; });
    this.when.textContent = row && at !== null ? clock(row.at_ms, false) : "";
    const said = this.series.map((series, n) => `${series.label} ${texts[n]}`).join(", ");
    this.svg.setAttribute("aria-label", `${this.label}: ${said}. Arrow keys go back in time.`);
    if (row && at !== null && this.x) {
      const x = this.x(row.at_ms);
      const place = { x1: x, x2: x, y1: ROOM.top, y2: HEIGHT - ROOM.bottom, visibility: "visible" };
      for (const [name, value] of Object.entries(place)) this.cursor.setAttribute(name, value);
    } else {
      this.cursor.setAttribute("visibility", "hidden");
    }
  }
}

function clock(ms, short) {
  const style = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(ms).toLocaleTimeString("en", short ? style : { ...style, second: "2-digit" });
}
