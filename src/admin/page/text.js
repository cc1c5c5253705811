// Numbers and times as text, and the few ways in which the page is changed. Whatever
// comes from the server is set as text, never as markup.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const NONE = "\u2013";

// A count, exactly.
export const whole = (n) => grouped.format(n);

// A rate: small ones with a tenth.
export const rate = (n) => (n !== 0 && Math.abs(n) < 100 && !Number.isInteger(n) ? tenths.format(n) : grouped.format(n));

// A number in at most four digits.
export function short(n) {
  const units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const unit = units.find(([size]) => Math.abs(n) >= size);
  if (!unit) return Number.isInteger(n) ? String(n) : n.toFixed(1);
  const scaled = n / unit[0];
  return `${scaled >= 100 || Number.isInteger(scaled) ? Math.round(scaled) : scaled.toFixed(1)}${unit[1]}`;
}

export function micros(us) {
  if (us < 1000) return `${Math.round(us)} \u00b5s`;
  const [value, unit] = us < 1e6 ? [us / 1000, "ms"] : [us / 1e6, "s"];
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let value = n;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

export function seconds(s) {
  const n = Math.max(0, Math.round(s));
  if (n < 120) return `${n} s`;
  if (n < 7200) return `${Math.round(n / 60)} min`;
  if (n < 172_800) return `${Math.round(n / 3600)} h`;
  return `${Math.round(n / 86_400)} d`;
}

export const percent = (part, all) => (all > 0 ? `${tenths.format((100 * part) / all)}%` : NONE);

export const byId = (id) => document.getElementById(id);

// Sets a text, and leaves alone what is as it should be.
export function put(node, text) {
  const value = String(text);
  if (node.textContent !== value) node.textContent = value;
}

export function mark(node, is) {
  if (node.dataset.is !== is) node.dataset.is = is;
}

export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== "") node.textContent = text;
  return node;
}

// Brings the children of `place` in line with `items`: one for each, in their order,
// made by `build` and filled by `fill`, and the same one each time for the same key.
export function list(place, items, key, build, fill) {
  const known = new Map();
  for (const child of place.children) known.set(child.key, child);
  items.forEach((item, n) => {
    const name = key(item);
    let child = known.get(name);
    if (!child) {
      child = build(item);
      child.key = name;
    }
    known.delete(name);
    if (place.children[n] !== child) place.insertBefore(child, place.children[n] ?? null);
    fill(child, item, n);
  });
  for (const child of known.values()) child.remove();
}

// Terms and what is said of them: [[term, text, small text, state]].
export function facts(place, items) {
  list(place, items, ([term]) => term, ([term]) => {
    const pair = make("div");
    pair.append(make("dt", "", term), make("dd"));
    pair.lastChild.append(make("span"), make("small"));
    return pair;
  }, (pair, [, text, small = "", is = ""]) => {
    const [value, under] = pair.lastChild.children;
    put(value, text);
    put(under, small);
    mark(pair.lastChild, is);
  });
}
