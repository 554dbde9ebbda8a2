// What is stuck, where and why; and the buttons that free it.

import { get, post } from "./api.js";
import { bars } from "./chart.js";
import { confirm, say } from "./dialogs.js";
import { badge, button, el, table, trouble, when } from "./dom.js";
import { showJobs } from "./jobs.js";
import { listen, paced } from "./live.js";
import { ADVICE, byTrouble, count, relayTime } from "./words.js";

const SHOWN_ERRORS = 8;

export function overview() {
  const problem = trouble(() => refresh());
  const verdict = el("h1", { class: "verdict" }, "Overview");
  const numbers = ["In, last minute", "Out, last minute", "Waiting", "Dead letters"].map(number);
  const lanes = table({
    caption: "Destinations", columns: laneColumns(act), key: (lane) => lane.name,
    empty: "There are no destinations in relay.toml.",
  });
  const errors = table({
    caption: "Last errors", columns: errorColumns(), key: (error) => error.id,
    empty: "Nothing that waits or was given up has failed.",
  });
  const config = el("section", { "aria-labelledby": "config-title" });
  const jobs = el("section", { "aria-labelledby": "jobs-title", hidden: true });
  const relays = table({
    caption: "Relays on this store", columns: relayColumns(), key: (relay) => relay.name,
    empty: "This relay has the store alone.",
  });
  let errorsKnown = null;

  async function load() {
    try {
      const status = await get("status");
      relayTime(status.now);
      status.destinations.sort(byTrouble);
      showVerdict(verdict, status);
      showNumbers(numbers, status);
      lanes.show(status.destinations);
      showJobs(jobs, status.jobs, refresh);
      relays.element.hidden = status.replicas.length === 0;
      relays.show(status.replicas);
      showConfig(config, status, reload);
      if (errorsKnown !== failures) {
        errorsKnown = failures;
        errors.show(await lastErrors());
      }
      problem.clear();
    } catch (error) {
      problem.show(error);
    }
  }

  let failures = 0;
  const refresh = paced(load, 1000);
  const unlisten = listen((kind, data) => {
    if ((kind === "attempt" && data.verdict !== "accepted") || kind === "missed" || data === "live") failures += 1;
    refresh();
  });
  const timer = setInterval(refresh, 5000);
  refresh();

  async function act(lane, action) {
    const path = `destinations/${encodeURIComponent(lane.name)}/${action}`;
    if (action === "pause") {
      const sure = await confirm({
        title: `Pause ${lane.name}?`, yes: "Pause",
        text: "Nothing is sent to it until somebody resumes it, also after a restart. What comes in for it waits.",
      });
      if (!sure) return;
    }
    try {
      const now = await post(path);
      if (!now.done) say(`The relay that has ${now.name} was told, and has not answered yet.`);
      else say(now.reason && now.state !== "healthy" ? `${now.name} is ${now.state}: ${now.reason}` : `${now.name} is ${now.state}.`);
    } catch (error) {
      say(`${lane.name}: ${error.message}`);
    }
    failures += 1;
    refresh();
  }

  async function reload() {
    try {
      const { config: now } = await post("reload");
      say(`relay.toml is in force, generation ${now.generation}.`);
    } catch (error) {
      say(error.status === 422 ? "relay.toml has mistakes; nothing has changed." : error.message);
    }
    refresh();
  }

  return {
    title: "Overview",
    elements: [
      problem.element, verdict, el("div", { class: "numbers" }, numbers.map((one) => one.element)),
      lanes.element, relays.element, jobs, errors.element, config,
    ],
    stop() {
      unlisten();
      refresh.stop();
      clearInterval(timer);
    },
  };
}

function showVerdict(element, status) {
  const bad = status.destinations.filter((lane) => ["blocked", "open", "orphaned"].includes(lane.state));
  const paused = status.destinations.filter((lane) => lane.state === "paused");
  const names = (list) => list.map((lane) => `${lane.name} is ${lane.state}`).join(", ");
  let text = "Everything is on its way.";
  if (bad.length > 0) text = `${names(bad.slice(0, 3))}${bad.length > 3 ? ` and ${bad.length - 3} more` : ""}.`;
  else if (paused.length > 0) text = `${names(paused)}.`;
  const named = bad.length > 0 ? bad : paused;
  const waits = named.reduce((sum, lane) => sum + (lane.counts.waiting ?? 0), 0);
  const senders = status.sources.filter((source) => source.state !== "healthy");
  if (waits > 0) text += ` ${count(waits, "delivery waits", "deliveries wait")} there.`;
  for (const source of senders) text += ` ${source.name} is ${source.state}: ${source.reason}.`;
  element.textContent = text;
  element.className = `verdict ${bad.length > 0 ? "bad" : paused.length + senders.length > 0 ? "held" : "good"}`;
}

function showNumbers([taken, made, waiting, dead], status) {
  const last = (list) => list[list.length - 1];
  const oldest = status.destinations.map((lane) => lane.oldest_created_at).filter(Boolean).sort()[0];
  const waits = status.counts.waiting + status.counts.sending;
  const rates = (list, label) => [JSON.stringify(list), () => bars(list, label)];
  taken.show(count(last(status.in_per_minute), "event"),
    rates(status.in_per_minute, "Events in by minute over the last half hour"));
  made.show(count(last(status.out_per_minute), "delivery", "deliveries"),
    rates(status.out_per_minute, "Deliveries made by minute over the last half hour"));
  waiting.show(count(waits, "delivery", "deliveries"),
    [oldest, () => el("span", { class: "note" }, oldest ? ["the oldest came ", when(oldest)] : "nothing waits")]);
  const any = status.counts.dead > 0;
  dead.show(count(status.counts.dead, "delivery", "deliveries"),
    [any, () => (any ? el("a", { href: "#/dead" }, "look and replay") : el("span", { class: "note" }, "none"))]);
}

/** A number with something below it, which stays the same element, focus and all, while its looks do. */
function number(title) {
  const value = el("p");
  const below = el("div");
  let looks;
  return {
    element: el("div", { class: "number" }, el("h2", {}, title), value, below),
    show(text, [next, make]) {
      value.textContent = text;
      if (below.hasChildNodes() && looks === next) return;
      looks = next;
      below.replaceChildren(make());
    },
  };
}

function laneColumns(act) {
  return [
    { title: "Destination", kind: "name", cell: (lane) => lane.name },
    { title: "State", kind: "why", cell: (lane) => laneState(lane) },
    { title: "Waiting", kind: "count", cell: (lane) => String(lane.counts.waiting ?? 0) },
    { title: "Oldest waiting", kind: "age", cell: (lane) => oldestWaiting(lane) },
    { title: "Dead", kind: "count", cell: (lane) => String(lane.counts.dead ?? 0) },
    { title: "Action", kind: "act", cell: (lane) => laneActions(lane, act) },
  ];
}

function laneState(lane) {
  const facts = [];
  if (lane.since) facts.push(["since ", when(lane.since)]);
  if (lane.next_probe) facts.push(["next probe ", when(lane.next_probe)]);
  if (lane.held_until) facts.push(["it asked for a pause, over ", when(lane.held_until)]);
  if (lane.in_flight > 0) facts.push([`${lane.in_flight} under way`]);
  if (lane.owner) facts.push([`by ${lane.owner}`]);
  const list = facts.flatMap((fact, index) => (index === 0 ? fact : [", ", ...fact]));
  return [
    badge(lane.state), " ", el("span", { class: "note" }, list),
    lane.reason ? el("p", { class: "reason" }, lane.reason) : null,
    ADVICE[lane.state] ? el("p", { class: "note" }, ADVICE[lane.state]) : null,
  ];
}

function oldestWaiting(lane) {
  if (!lane.oldest_created_at) return el("span", { class: "note" }, "none");
  return [when(lane.oldest_created_at), lane.oldest_due_at ? null : el("p", { class: "note" }, "not due yet")];
}

function laneActions(lane, act) {
  const make = (action, text) =>
    button(text, () => act(lane, action), { "aria-label": `${text} ${lane.name}`, "data-focus": "act" });
  if (lane.state === "orphaned") return el("span", { class: "note" }, "none");
  if (lane.state === "healthy" && !lane.held_until) return make("pause", "Pause");
  if (lane.state === "paused") return make("resume", "Resume");
  return [make("resume", "Resume"), " ", button("Pause", () => act(lane, "pause"), { "aria-label": `Pause ${lane.name}` })];
}

function relayColumns() {
  const also = (relay) => [relay.this ? "answers here" : null, relay.upkeep ? "does upkeep" : null].filter(Boolean);
  return [
    { title: "Relay", kind: "name", cell: (relay) => relay.name },
    { title: "State", cell: (relay) => (relay.alive ? "alive" : "gone") },
    { title: "Lease renewed", cell: (relay) => `${(relay.age_ms / 1000).toFixed(1)} s ago` },
    { title: "Lanes", kind: "count", cell: (relay) => String(relay.lanes) },
    { title: "Also", cell: (relay) => el("span", { class: "note" }, also(relay).join(", ")) },
  ];
}

function errorColumns() {
  return [
    { title: "When", kind: "age", cell: (error) => el("a", { href: `#/events/${error.event_id}` }, error.at ? when(error.at) : "event") },
    { title: "Destination", kind: "name", cell: (error) => error.destination },
    { title: "Delivery", cell: (error) => badge(error.state) },
    { title: "Error", kind: "why", cell: (error) => el("p", { class: "reason" }, error.last_error ?? "") },
  ];
}

/** What failed last, of what waits and what was given up. */
async function lastErrors() {
  const [waiting, given] = await Promise.all([
    get("deliveries", { state: "waiting", limit: 50 }),
    get("deliveries", { state: "dead", limit: SHOWN_ERRORS }),
  ]);
  const failed = waiting.items.filter((one) => one.last_error).slice(0, SHOWN_ERRORS).concat(given.items);
  const details = await Promise.all(failed.map((one) => get(`deliveries/${one.id}`).catch(() => one)));
  const errors = details.map((one) => ({
    id: one.id, event_id: one.event_id, destination: one.destination, state: one.state, last_error: one.last_error,
    at: one.attempts?.at(-1)?.at ?? null,
  }));
  errors.sort((a, b) => (b.at ?? "").localeCompare(a.at ?? ""));
  return errors.slice(0, SHOWN_ERRORS);
}

function showConfig(element, status, reload) {
  const looks = JSON.stringify([status.config, status.loaded_at, status.last_reload]);
  if (element.dataset.looks === looks) return;
  element.dataset.looks = looks;
  const had = element.contains(document.activeElement);
  const failed = status.last_reload?.errors ?? [];
  const warnings = status.last_reload?.warnings ?? [];
  const again = button("Reload relay.toml", reload);
  element.replaceChildren(
    el("h2", { id: "config-title" }, "Configuration"),
    failed.length > 0
      ? el("div", { class: "trouble" },
        el("p", {}, "The last reload, ", when(status.last_reload.at), ", changed nothing:"),
        el("pre", { tabindex: "0" }, failed.join("\n")))
      : "",
    warnings.length > 0
      ? el("div", { class: "trouble" },
        el("p", {}, "The reload ", when(status.last_reload.at), " warned:"),
        el("pre", { tabindex: "0" }, warnings.join("\n")))
      : "",
    el("p", {}, `Version ${status.version}, generation ${status.config.generation}, in force since `,
      when(status.loaded_at), ". ", el("code", {}, status.config.hash.slice(0, 12))),
    again,
  );
  if (had) again.focus({ preventScroll: true });
}
