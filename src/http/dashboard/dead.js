// Deliveries that were given up: choose, replay one after the other, and see what became of each.

import { get, post } from "./api.js";
import { confirm, say } from "./dialogs.js";
import { button, el, table, trouble, when } from "./dom.js";
import { OLDER } from "./event.js";
import { carryOut, leftOut } from "./jobs.js";
import { listen, paced } from "./live.js";
import { count, relayTime } from "./words.js";

const PAGE = 100;

export function dead() {
  const problem = trouble(() => refresh());
  const chosen = new Set();
  const outcomes = new Map();
  let items = [];
  let pages = 1;
  let more = false;
  let running = false;
  let destination = "";

  const list = table({
    caption: "Newest first", columns: columns(choose), key: (one) => one.id,
    empty: "There are no dead letters.",
  });
  const all = el("input", { type: "checkbox", id: "all", on: { change: () => chooseAll(all.checked) } });
  const replay = button("Replay selected", replayChosen, { class: "main", id: "replay", disabled: true });
  const every = button("Replay all…", replayAll, { id: "replay-all", disabled: true });
  const further = button("Show more", () => { pages += 1; load(); });
  const progress = el("progress", { hidden: true, "aria-label": "Replaying" });
  const told = el("span", { role: "status", class: "note" });
  const where = el("select", { id: "where", on: { change: () => { destination = where.value; chosen.clear(); pages = 1; load(); } } });

  let asks = 0;

  async function load() {
    asks += 1;
    const mine = asks;
    try {
      const found = await letters();
      if (mine !== asks) return;
      items = found;
      const there = new Set(items.map((one) => one.id));
      for (const id of chosen) if (!there.has(id)) chosen.delete(id);
      show();
      problem.clear();
    } catch (error) {
      problem.show(error);
    }
  }

  async function letters() {
    const found = [];
    let cursor = null;
    for (let page = 0; page < pages; page += 1) {
      const answer = await get("deliveries", { state: "dead", destination, limit: PAGE, cursor });
      found.push(...answer.items);
      cursor = answer.next;
      if (cursor === null) break;
    }
    more = cursor !== null;
    return found;
  }

  function show() {
    const here = new Set(items.map((one) => one.id));
    const gone = [...outcomes.values()].filter((one) => !here.has(one.item.id)).map((one) => one.item);
    list.show([...items, ...gone].map((one) => ({
      ...one, chosen: chosen.has(one.id), outcome: outcomes.get(one.id)?.text ?? null, gone: !here.has(one.id), running,
    })));
    further.hidden = !more;
    all.disabled = running || items.length === 0;
    all.checked = items.length > 0 && chosen.size === items.length;
    all.indeterminate = chosen.size > 0 && chosen.size < items.length;
    replay.disabled = running || chosen.size === 0;
    every.disabled = running || items.length === 0;
    replay.textContent = chosen.size > 0 ? `Replay ${chosen.size} selected` : "Replay selected";
  }

  function choose(id, yes) {
    if (yes) chosen.add(id);
    else chosen.delete(id);
    show();
  }

  function chooseAll(yes) {
    chosen.clear();
    if (yes) for (const one of items) chosen.add(one.id);
    show();
  }

  async function replayChosen() {
    const wanted = items.filter((one) => chosen.has(one.id)).reverse();
    const sure = await confirm({
      title: `Replay ${count(wanted.length, "dead letter")}?`, yes: "Replay", option: OLDER,
      text: "Each is sent again, oldest first, under the same webhook-id, at its destination’s own pace.",
    });
    if (!sure) return;
    running = true;
    outcomes.clear();
    progress.hidden = false;
    progress.max = wanted.length;
    let refused = 0;
    for (const [index, item] of wanted.entries()) {
      progress.value = index;
      told.textContent = `Replaying ${index + 1} of ${wanted.length}`;
      try {
        await post(`deliveries/${item.id}/replay`, { force: sure.checked });
        outcomes.set(item.id, { item, text: "replayed" });
        chosen.delete(item.id);
      } catch (error) {
        refused += 1;
        outcomes.set(item.id, { item, text: `not replayed: ${error.message}` });
        if (error.status === 0 || error.status === 401) break;
      }
      show();
    }
    running = false;
    progress.hidden = true;
    const done = [...outcomes.values()].filter((one) => one.text === "replayed").length;
    told.textContent = `${done} of ${wanted.length} replayed${refused > 0 ? `, ${refused} not` : ""}.`;
    say(told.textContent);
    await load();
    (replay.disabled ? all : replay).focus({ preventScroll: true });
  }

  /** All there are, shown or not: counted and done by the relay. */
  async function replayAll() {
    const filter = { state: "dead", ...(destination === "" ? {} : { destination }) };
    running = true;
    show();
    try {
      const counted = await carryOut("replay", { filter, dry_run: true }, ({ progress: { done } }) => {
        told.textContent = `Counting: ${done}`;
      });
      told.textContent = leftOut(counted);
      const sure = counted.progress.done > 0 && await confirm({
        title: `Replay ${count(counted.progress.done, "dead letter")}?`, yes: "Replay all", option: OLDER,
        text: `The relay goes on with it when this page is closed. ${leftOut(counted)}`,
      });
      if (sure) {
        const done = await carryOut("replay", { filter, force: sure.checked }, (job) => {
          told.textContent = `Job ${job.id}: ${job.progress.done} of ${counted.progress.done}`;
        });
        told.textContent = [`${count(done.progress.done, "dead letter")} replayed`, leftOut(done)].filter(Boolean).join("; ");
        say(told.textContent);
      }
    } catch (error) {
      say(error.message);
    }
    running = false;
    await load();
    (every.disabled ? all : every).focus({ preventScroll: true });
  }

  const refresh = paced(load, 1000);
  const unlisten = listen((kind, data) => {
    const news = (kind === "attempt" && data.state === "dead") || kind === "missed" || data === "live";
    if (news && !running) refresh();
  });
  refresh();
  get("status").then((status) => {
    relayTime(status.now);
    const names = status.destinations.map((one) => one.name);
    where.replaceChildren(el("option", { value: "" }, "every destination"), ...names.map((name) => el("option", { value: name }, name)));
  }).catch(() => {});

  return {
    title: "Dead letters",
    elements: [
      el("h1", {}, "Dead letters"),
      el("div", { class: "tools" },
        el("label", { class: "check", for: "all" }, all, " Select all shown"),
        el("span", { class: "field" }, el("label", { for: "where" }, "Destination"), where),
        replay, every, progress, told),
      problem.element, list.element,
      el("div", { class: "pager" }, further),
    ],
    stop() {
      unlisten();
      refresh.stop();
    },
  };
}

function columns(choose) {
  const check = (one) => el("input", {
    type: "checkbox", checked: one.chosen, disabled: one.gone || one.running, "data-focus": "choose",
    "aria-label": `Select the delivery to ${one.destination} of ${one.created_at}`,
    on: { change: (event) => choose(one.id, event.target.checked) },
  });
  return [
    { title: "Select", kind: "pick", cell: check },
    { title: "Destination", kind: "name", cell: (one) => one.destination },
    { title: "Error", kind: "why", cell: (one) => el("p", { class: "reason" }, one.last_error ?? "") },
    { title: "Route", cell: (one) => one.route },
    { title: "Event", kind: "age", cell: (one) => el("a", { href: `#/events/${one.event_id}`, "data-focus": "open" }, when(one.created_at)) },
    { title: "Replay", kind: "outcome", cell: (one) => one.outcome ?? el("span", { class: "note" }, "not yet") },
  ];
}
