// The parts of the page, each filled from what the server says.

import { NONE, byId, bytes, facts, list, make, mark, micros, percent, put, rate, seconds, short, whole } from "./text.js";

const LISTENERS = {
  pickle: "Pickle",
  shard_pickle: "Shard pickle",
  msgpack: "MessagePack",
  line_tcp: "Lines, TCP",
  line_udp: "Lines, UDP",
  direct: "Inside",
};

const REASONS = {
  too_old: ["Too old", "Older than horizon.max_resolution_s when they came. A sender\u2019s clock is wrong, or it sends what it had kept; raise the setting if that is wanted."],
  not_mine: ["Another node\u2019s", "The cluster\u2019s table gives these metrics to other nodes. Nothing to mend, if their relays send to those too."],
  skipped: ["Skipped", "horizon.skip says so. Nothing to mend, if the list is right."],
  name_invalid: ["Bad names", "Empty, not UTF-8, or with control characters. Mend the sender."],
  name_too_long: ["Overlong names", "Longer than horizon.name_bytes_max."],
  not_numeric: ["No numbers", "A timestamp or value is no number. Mend the sender."],
  not_finite: ["Not finite", "NaN or infinity, which would spoil every mean over the series. Mend the sender."],
  out_of_range: ["Out of range", "Integers of more than 64 bits. Mend the sender."],
  bad_shape: ["Bad shape", "Items that are no (name, (timestamp, value)). Mend the sender."],
  wrong_type: ["Wrong key type", "The metric\u2019s key in Redis is no string; remove or rename it: redis-cli TYPE metrics.NAME."],
  refused_by_redis: ["Refused by Redis", "Redis refused the command for good; Redis\u2019s errors below say which."],
  shutdown: ["At shutdown", "Not in Redis when drain_s was over."],
};

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const values = (object) => Object.values(object ?? {});

// Mean rate of a column over the last minute.
function mean(rows, column) {
  const last = rows.at(-1)?.at_ms ?? 0;
  const minute = rows.filter((row) => row.at_ms > last - 60_000);
  const span = sum(minute.map((row) => row.span_ms));
  return span > 0 ? (1000 * sum(minute.map((row) => row[column]))) / span : 0;
}

export function tiles(status, rows) {
  const recent = status.recent;
  const each = (n) => (recent ? (1000 * n) / recent.span_ms : null);
  const fates = values(recent?.listeners);
  const of = (what) => each(sum(fates.map((fate) => fate[what])));
  const listeners = values(status.listeners);
  const dropped = sum(listeners.flatMap((listener) => values(listener.dropped)));
  const text = (n) => (n === null ? NONE : rate(n));
  const latency = recent?.latency_us;
  const settled = latency && latency.count > 0;
  const items = [
    ["Received/s", text(of("received")), `${rate(sum(Object.keys(LISTENERS).map((name) => mean(rows, `received.${name}`))))} mean of 1 min`],
    ["Stored/s", text(of("stored")), `${short(sum(listeners.map((l) => l.stored)))} in all`],
    ["Not stored/s", text(of("dropped")), `${short(dropped)} in all`],
    ["In flight", whole(sum(listeners.map((l) => l.in_flight))), `${bytes(status.buffer_bytes)} of ${bytes(status.buffer_bytes_max)}`],
    ["Latency, p99", settled ? micros(latency.p99) : NONE, settled ? `${micros(latency.p50)} median` : "nothing settled just now"],
    ["Metrics known", whole(status.metrics_known), `${short(sum(rows.filter((row) => row.at_ms > (rows.at(-1)?.at_ms ?? 0) - 60_000).map((row) => row.series_new)))} new in 1 min`],
  ];
  list(byId("tiles"), items, ([name]) => name, ([name]) => {
    const tile = make("div", "tile");
    tile.append(make("dt", "", name), make("dd", "big"), make("dd", "under"));
    return tile;
  }, (tile, [, big, under]) => {
    put(tile.children[1], big);
    put(tile.children[2], under);
  });
}

// What a newcomer does next.
export function hint(status) {
  const place = byId("hint");
  const received = sum(values(status.listeners).map((listener) => listener.received));
  const pickle = status.listeners.pickle?.addresses[0];
  place.hidden = received > 0 || !pickle;
  if (place.hidden || place.childNodes.length) return;
  const code = (text) => make("code", "", text);
  const port = pickle.slice(pickle.lastIndexOf(":") + 1);
  place.append("Nothing has come yet. Try one point: ", code(`skyring send --pickle ${pickle} test.metric 1.5`),
    ", or have a carbon-relay send its stream here, in its carbon.conf: ", code(`DESTINATIONS = ${location.hostname}:${port}:a`));
}

export function listeners(status, rows) {
  const body = byId("listeners").tBodies[0];
  const used = Object.entries(status.listeners)
    .filter(([, listener]) => listener.addresses.length || listener.received > 0)
    .sort(([a], [b]) => Object.keys(LISTENERS).indexOf(a) - Object.keys(LISTENERS).indexOf(b));
  list(body, used, ([name]) => name, ([name]) => {
    const row = make("tr");
    const head = make("th");
    head.scope = "row";
    head.append(make("span", "", LISTENERS[name] ?? name), make("small"));
    row.append(head);
    for (let n = 0; n < 9; n += 1) row.append(make("td", "n"));
    row.dataset.listener = name;
    return row;
  }, (row, [name, listener]) => {
    const fate = status.recent?.listeners[name];
    const each = (n) => (fate ? rate((1000 * n) / status.recent.span_ms) : NONE);
    put(row.cells[0].lastChild, listener.addresses.join(", ") || (name === "direct" ? "HTTP, Vista, self metrics" : ""));
    const dropped = sum(values(listener.dropped)) + (listener.kernel_drops ?? 0);
    const bad = sum(values(listener.frames_bad)) + listener.frames_too_long + listener.frames_cut_short;
    const udp = listener.kernel_drops !== undefined;
    const cells = [each(fate?.received), rate(mean(rows, `received.${name}`)), each(fate?.stored), whole(listener.received),
      whole(listener.stored), whole(listener.in_flight), whole(dropped), whole(bad), udp || name === "direct" ? NONE : whole(listener.connections)];
    cells.forEach((text, n) => put(row.cells[n + 1], text));
    row.cells[7].classList.toggle("loud", dropped > 0);
    row.cells[8].classList.toggle("loud", bad > 0);
  });
}

export function dropped(status) {
  const counts = new Map();
  for (const listener of values(status.listeners)) {
    for (const [reason, count] of Object.entries(listener.dropped)) {
      if (count > 0) counts.set(reason, (counts.get(reason) ?? 0) + count);
    }
  }
  const kernel = sum(values(status.listeners).map((listener) => listener.kernel_drops ?? 0));
  const items = [...counts].map(([reason, count]) => [reason, count, ...(REASONS[reason] ?? [reason, ""])]);
  if (kernel > 0) items.push(["kernel", kernel, "Datagrams lost in the kernel", "It had no room for more: sysctl -w net.core.rmem_max, and horizon.udp_buffer_bytes."]);
  items.sort((a, b) => b[1] - a[1]);
  if (!items.length) items.push(["none", null, "Nothing", "Every point that came is in Redis, or on its way there."]);
  list(byId("dropped"), items, ([reason]) => reason, () => {
    const item = make("li");
    item.append(make("b"), make("span", "count"), make("span", "why"));
    return item;
  }, (item, [reason, count, title, why]) => {
    item.dataset.reason = reason;
    put(item.children[0], title);
    put(item.children[1], count === null ? "" : whole(count));
    put(item.children[2], why);
  });
}

export function faults(status) {
  const now = status.now_ms / 1000;
  const items = status.faults.length ? status.faults : [null];
  list(byId("faults"), items, (fault) => (fault ? fault.level + fault.message : ""), (fault) => {
    const item = make("li");
    if (!fault) {
      item.append(make("span", "quiet", "None since the start."));
      return item;
    }
    const top = make("p", "top");
    const level = make("span", "level", fault.level === "warn" ? "warning" : fault.level);
    mark(level, fault.level);
    top.append(level, make("span", "quiet"));
    item.append(top, make("p", "", fault.message), make("p", "quiet mono"), make("p", "mend"));
    return item;
  }, (item, fault) => {
    if (!fault) return;
    const often = fault.count > 1 ? `${whole(fault.count)} times, last ` : "";
    put(item.firstChild.lastChild, `${often}${seconds(now - fault.last_s)} ago`);
    put(item.children[2], fault.fields);
    put(item.children[3], fault.mend);
    item.children[2].hidden = !fault.fields;
    item.children[3].hidden = !fault.mend;
  });
}

export function shards(status) {
  const items = status.shards.map((shard, n) => ({ ...shard, n }));
  list(byId("shards"), items, ({ n }) => n, ({ n }) => {
    const item = make("li");
    const top = make("p", "top");
    top.append(make("b", "", `Shard ${n}`), make("span", "quiet"));
    const meter = make("div", "meter");
    meter.setAttribute("role", "meter");
    meter.setAttribute("aria-label", `CPU of shard ${n}`);
    meter.setAttribute("aria-valuemin", "0");
    meter.setAttribute("aria-valuemax", "100");
    meter.append(make("i"));
    item.append(top, meter, make("dl", "mini"));
    return item;
  }, (item, shard) => {
    const busy = Math.min(100, shard.busy_percent);
    put(item.firstChild.lastChild, `CPU ${shard.cpu}, ${Math.round(busy)}% busy`);
    const meter = item.children[1];
    meter.setAttribute("aria-valuenow", String(Math.round(busy)));
    meter.firstChild.style.width = `${busy}%`;
    mark(meter.firstChild, busy > 95 ? "bad" : busy > 80 ? "warn" : "");
    const link = { ready: "ready", away: "away", refusing: "refuses" }[shard.redis] ?? shard.redis;
    const pairs = [["Connections", whole(shard.connections)], ["In flight", whole(shard.in_flight)], ["Batches", whole(shard.batches)],
      ["Stored", short(shard.stored)], ["Metrics", whole(shard.metrics_known)], ["Redis", link]];
    facts(item.lastChild, pairs);
  });
}

export function redis(status) {
  const redis = status.redis;
  const info = redis.info;
  const state = { ready: "Answers", away: "Away", refusing: "Refuses commands", silent: "Does not answer" }[redis.state];
  put(byId("redis-url"), redis.url);
  const of = (n) => (info && info.version ? n : NONE);
  const memory = info?.memory_max_bytes ? `of ${bytes(info.memory_max_bytes)}` : "no maxmemory set";
  const errors = Object.entries(redis.errors).map(([code, count]) => `${code} ${whole(count)}`).join(", ");
  const items = [
    ["State", state ?? redis.state, redis.unanswered_ms > 0 ? `unanswered for ${micros(redis.unanswered_ms * 1000)}` : "nothing unanswered", redis.state === "ready" ? "good" : "bad"],
    ["Commands/s", of(short(info?.commands_per_s ?? 0)), of(`${short(info?.commands ?? 0)} in all, any client`)],
    ["APPEND/s", status.recent ? rate((1000 * status.recent.appends) / status.recent.span_ms) : NONE, `${short(redis.appends)} in all`],
    ["Memory", of(bytes(info?.memory_bytes ?? 0)), of(`${memory}; peak ${bytes(info?.memory_peak_bytes ?? 0)}`)],
    ["Resident", of(bytes(info?.resident_bytes ?? 0)), of(info?.is_saving ? "saving to disk" : "not saving to disk")],
    ["Clients", of(whole(info?.clients ?? 0)), of(`${whole(info?.clients_blocked ?? 0)} blocked`)],
    ["Keys", of(short(info?.keys ?? 0)), of(info?.evicted_keys ? `${whole(info.evicted_keys)} evicted` : "none evicted"), info?.evicted_keys ? "bad" : ""],
    ["Batches", `${whole(redis.in_flight_batches)} in flight`, `${whole(redis.waiting_batches)} wait`],
    ["Sent again", whole(redis.resent), `${whole(redis.connections)} connections made`],
    ["Version", of(info?.version), of(`up ${seconds(info?.uptime_s ?? 0)}`)],
  ];
  if (errors) items.push(["Errors", short(sum(values(redis.errors))), errors, "bad"]);
  if (info?.error) items.push(["Could not be asked", "", info.error, "bad"]);
  facts(byId("redis"), items);
}

export function trim(status) {
  const roomba = status.roomba;
  const now = status.now_ms / 1000;
  put(byId("trim-state"), roomba.enabled ? "series kept at their length" : "off: roomba.enabled");
  const items = [
    ["Last pass", roomba.last_pass_ended_s ? `${seconds(now - roomba.last_pass_ended_s)} ago` : NONE, roomba.passes ? `took ${roomba.last_pass_s.toFixed(1)} s` : "none yet"],
    ["Passes", whole(roomba.passes), `${whole(roomba.conflicts)} changes met a writer`],
    ["Series", whole(roomba.members), `${whole(roomba.batch_members)} left to batch`],
    ["Looked at", short(roomba.looked_at), `${short(roomba.read_whole)} read whole`],
    ["Cut", short(roomba.cut), `${short(roomba.records_old)} old records`],
    ["Put in order", short(roomba.mended), `${short(roomba.records_duplicate)} duplicates`],
    ["Removed", short(roomba.removed), `${short(roomba.ghosts)} without a series`],
    ["Set aside", whole(roomba.quarantined), "could not all be read", roomba.quarantined ? "bad" : ""],
    ["Room given back", bytes(Math.max(0, roomba.bytes_before - roomba.bytes_after)), `of ${bytes(roomba.bytes_before)} rewritten`],
    ["Round trip, p99", roomba.trips ? micros(roomba.trip_p99_us) : NONE, `${short(roomba.trips)} trips`],
  ];
  if (roomba.error) items.push(["Trouble", "", roomba.error, "bad"]);
  facts(byId("trim"), items);
}

export function talkers(told, depth) {
  const side = depth === "senders" ? told.senders : told.prefixes[Number(depth)];
  put(byId("talkers-span"), `the last ${seconds(told.seconds)}: ${short(told.points)} points, ${short(told.series)} new series`);
  const draw = (place, rows, all, what) => {
    const most = rows[0]?.count ?? 0;
    list(place, rows.length ? rows.slice(0, 12) : [null], (row) => row?.name ?? "", (row) => {
      const item = make("li");
      if (row) item.append(make("i"), make("span", "name", row.name), make("span", "count"), make("span", "share"));
      else item.append(make("span", "quiet", what));
      return item;
    }, (item, row) => {
      if (!row) return;
      item.title = row.error ? `${row.name}: at most ${whole(row.error)} more` : row.name;
      item.children[0].style.width = `${most > 0 ? (100 * row.count) / most : 0}%`;
      put(item.children[2], short(row.count));
      put(item.children[3], percent(row.count, all));
    });
  };
  draw(byId("talk-points"), side?.points ?? [], told.points, "No points in this time.");
  draw(byId("talk-series"), side?.series ?? [], told.series, "No new series in this time.");
}

export function flux(status) {
  const flux = status.flux;
  const endpoints = Object.entries(flux.endpoints);
  const route = { carbon: "to carbon", horizon: "straight to the shards" }[flux.route] ?? "";
  const about = [flux.addresses.join(", ") || "off: flux.listen", route, flux.queue_points_max ? `${short(flux.queue_points)} of ${short(flux.queue_points_max)} points queued` : "",
    flux.carbon && !flux.carbon.connected ? `carbon is away: ${flux.carbon.error}` : ""];
  put(byId("flux-about"), about.filter(Boolean).join(" \u00b7 "));
  const none = byId("flux-none");
  none.hidden = endpoints.length > 0;
  byId("flux").hidden = endpoints.length === 0;
  put(none, flux.addresses.length ? `No request has come yet: curl 'http://${flux.addresses[0]}/metric_data?metric=test.flux&value=1&timestamp=0&key=KEY'` : "Points over HTTP are switched off.");
  list(byId("flux").tBodies[0], endpoints, ([name]) => name, ([name]) => {
    const row = make("tr");
    const head = make("th", "", name);
    head.scope = "row";
    row.append(head);
    for (let n = 0; n < 5; n += 1) row.append(make("td", "n"));
    row.append(make("td", "wide"));
    return row;
  }, (row, [, endpoint]) => {
    const answers = Object.entries(endpoint.answers);
    const of = (digit) => sum(answers.filter(([code]) => code.startsWith(digit)).map(([, count]) => count));
    [sum(answers.map(([, count]) => count)), of("2"), of("4"), of("5"), endpoint.points].forEach((count, n) => put(row.cells[n + 1], whole(count)));
    row.cells[4].classList.toggle("loud", of("5") > 0);
    const refused = Object.entries(endpoint.refused).sort(([, a], [, b]) => b - a).slice(0, 4);
    put(row.cells[6], refused.map(([reason, count]) => `${reason} ${whole(count)}`).join(", ") || NONE);
  });
}

const WORST = ["failing", "disabled", "populating", "waiting", "ok", "elsewhere"];
const STATE = { failing: "bad", disabled: "warn", populating: "warn", ok: "good" };

export function vista(vista, nowMs) {
  const now = nowMs / 1000;
  const rank = (entry) => WORST.indexOf(entry.state);
  const found = [...vista.entries].sort((a, b) => rank(a) - rank(b) || a.metric.localeCompare(b.metric));
  const states = WORST.filter((state) => vista.states[state]).map((state) => `${whole(vista.states[state])} ${state}`);
  const all = sum(values(vista.states));
  put(byId("vista-about"), vista.enabled ? states.join(" \u00b7 ") || "metrics fetched" : "off: vista.enabled");
  byId("vista-find-label").hidden = all < 2;
  byId("vista").hidden = found.length === 0;
  const none = byId("vista-none");
  none.hidden = found.length > 0 && vista.left_out === 0;
  put(none, vista.left_out ? `${whole(vista.left_out)} more; find them by name, source, state or error.` : all ? "No entry has that in its name, source, state or error." : "Nothing is fetched: vista.fetch has no entries.");
  list(byId("vista").tBodies[0], found, (entry) => `${entry.metric}\n${entry.remote_host}\n${entry.remote_target}`, (entry) => {
    const row = make("tr");
    const head = make("th", "name", entry.metric);
    head.scope = "row";
    row.append(head, make("td", "state"));
    for (let n = 0; n < 3; n += 1) row.append(make("td", "n"));
    row.append(make("td", "name"), make("td", "wide"));
    return row;
  }, (row, entry) => {
    const { backfill } = entry;
    const done = backfill ? `filling ${percent(backfill.at_s - backfill.from_s, backfill.to_s - backfill.from_s)}` : "";
    put(row.cells[1], entry.state);
    mark(row.cells[1], STATE[entry.state] ?? "");
    const cells = [entry.lag_s === null ? NONE : seconds(entry.lag_s), entry.next_fetch_s === null ? NONE : seconds(entry.next_fetch_s - now), whole(entry.points)];
    cells.forEach((text, n) => put(row.cells[n + 2], text));
    put(row.cells[5], entry.remote_host);
    put(row.cells[6], [entry.error, done].filter(Boolean).join("; ") || NONE);
  });
}
