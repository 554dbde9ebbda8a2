// The events that came in, newest first. What is looked for stays in memory: a candidate in an address
// would stay in the browser's history.

import { get } from "./api.js";
import { button, el, table, trouble, when } from "./dom.js";
import { listen, paced } from "./live.js";
import { relayTime } from "./words.js";

const TYPES = ["interview.submitted", "interview.collected", "interview.failed", "interview.other"];
const FIELDS = ["type", "source", "subject", "candidate", "since", "until"];
const PAGE = 50;

let filter = {};

export function events() {
  const problem = trouble(() => refresh());
  const list = table({
    caption: "Newest first", columns: columns(), key: (one) => one.id, empty: "No event is like that.",
  });
  // The cursors of the pages before this one; the first page has none.
  let before = [];
  let cursor = null;
  let next = null;
  const newer = button("Newer", () => turn(-1));
  const older = button("Older", () => turn(1));
  const place = el("span", { class: "note", role: "status" });
  const sources = el("datalist", { id: "sources" });

  let asks = 0;

  async function load() {
    asks += 1;
    const mine = asks;
    try {
      const page = await get("events", { ...asked(filter), limit: PAGE, cursor });
      if (mine !== asks) return;
      next = page.next;
      list.show(page.items);
      newer.disabled = before.length === 0;
      older.disabled = next === null;
      place.textContent = `Page ${before.length + 1}${cursor === null ? ", kept up to date" : ""}`;
      problem.clear();
    } catch (error) {
      problem.show(error);
    }
  }

  function turn(by) {
    if (by > 0) {
      before.push(cursor);
      cursor = next;
    } else {
      cursor = before.pop() ?? null;
    }
    load();
  }

  function search(values) {
    filter = values;
    before = [];
    cursor = null;
    load();
  }

  const refresh = paced(load, 1000);
  const unlisten = listen((kind, data) => {
    const news = kind === "event" || kind === "missed" || data === "live";
    if (news && cursor === null) refresh();
  });
  refresh();
  get("status").then((status) => {
    relayTime(status.now);
    sources.replaceChildren(...status.sources.map((source) => el("option", { value: source.name })));
  }).catch(() => {});

  return {
    title: "Events",
    elements: [
      el("h1", {}, "Events"), filterForm(search, sources), problem.element, list.element,
      el("div", { class: "pager" }, newer, older, place),
    ],
    stop() {
      unlisten();
      refresh.stop();
    },
  };
}

/** The filter as the API takes it: times are local in the form, and UTC there. */
function asked(values) {
  const utc = (text) => (text ? new Date(text).toISOString() : "");
  return { ...values, since: utc(values.since), until: utc(values.until) };
}

function filterForm(search, sources) {
  const input = (name, title, attributes) => el(
    "div", { class: "field" },
    el("label", { for: `filter-${name}` }, title),
    el("input", { id: `filter-${name}`, name, value: filter[name] ?? "", autocomplete: "off", spellcheck: "false", ...attributes }),
  );
  const form = el(
    "form", { class: "filter", role: "search", "aria-label": "Filter events" },
    input("type", "Type", { list: "types" }),
    input("source", "Source", { list: "sources" }),
    input("subject", "Subject", {}),
    input("candidate", "Candidate", {}),
    input("since", "Received since", { type: "datetime-local", step: 1 }),
    input("until", "Received before", { type: "datetime-local", step: 1 }),
    el("datalist", { id: "types" }, TYPES.map((type) => el("option", { value: type }))),
    sources,
    el("div", { class: "actions" },
      el("button", { type: "submit", class: "main" }, "Filter"),
      button("Clear", () => {
        for (const name of FIELDS) form.elements[name].value = "";
        search({});
      })),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search(Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value.trim()])));
  });
  return form;
}

function columns() {
  return [
    { title: "Received", kind: "age", cell: (one) => el("a", { href: `#/events/${one.id}`, "data-focus": "open" }, when(one.received_at)) },
    { title: "Type", kind: "name", cell: (one) => one.type },
    { title: "Subject", kind: "id", cell: (one) => one.subject },
    { title: "Revision", kind: "count", cell: (one) => String(one.revision) },
    { title: "Changed", kind: "why", cell: (one) => changed(one) },
    { title: "Source", cell: (one) => one.source },
    { title: "Candidate", kind: "id", cell: (one) => one.candidate ?? el("span", { class: "note" }, "none") },
  ];
}

/** The fields that differ from the revision before. */
export function changed(one) {
  if (one.revision === 1) return el("span", { class: "note" }, "first");
  return one.changed.map((field, index) => [index > 0 ? " " : null, el("code", {}, field)]);
}
