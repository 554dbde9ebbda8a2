// One event: its revisions, its deliveries, and every attempt on a time line. The payload stays folded
// away, and out of the page, until somebody wants it.

import { get, post } from "./api.js";
import { confirm, say } from "./dialogs.js";
import { badge, button, el, table, trouble, when } from "./dom.js";
import { changed } from "./events.js";
import { listen, paced } from "./live.js";
import { local, millis, now, span } from "./words.js";

const FINAL = new Set(["delivered", "superseded", "skipped", "dead", "discarded"]);

export function event(id) {
  const problem = trouble(() => refresh());
  const title = el("h1", {}, "Event");
  const facts = el("dl", { class: "facts" });
  const revisions = table({
    caption: "Revisions of this subject", columns: revisionColumns(id), key: (one) => one.id, empty: "None is kept.",
  });
  const deliveries = el("section", { "aria-labelledby": "deliveries-title" });
  let kept = { payload: null, payload_error: null, kept_fields: null };
  const folded = payloadView(() => kept);

  async function load() {
    try {
      const detail = await get(`events/${id}`);
      kept = detail;
      title.textContent = `${detail.type}, revision ${detail.revision}`;
      showFacts(facts, detail);
      revisions.show([...detail.revisions].reverse());
      showDeliveries(deliveries, detail, replay);
      folded.update();
      problem.clear();
    } catch (error) {
      problem.show(error);
    }
  }

  const refresh = paced(load, 1000);
  const unlisten = listen((kind, data) => {
    if (data.event_id === id || kind === "event" || kind === "missed" || data === "live") refresh();
  });
  refresh();

  async function replay(delivery) {
    const sure = await confirm({
      title: `Replay to ${delivery.destination}?`, yes: "Replay", option: OLDER,
      text: "It is sent again, under the same webhook-id, with a fresh count of attempts.",
    });
    if (!sure) return;
    try {
      await post(`deliveries/${delivery.id}/replay`, { force: sure.checked });
      say(`Replayed: the delivery to ${delivery.destination} waits to be sent.`);
    } catch (error) {
      say(error.message);
    }
    refresh();
  }

  return {
    title: "Event",
    elements: [
      el("p", {}, el("a", { href: "#/events" }, "All events")),
      title, problem.element, facts, deliveries, revisions.element, folded.element,
    ],
    stop() {
      unlisten();
      refresh.stop();
    },
  };
}

/** The further choice of a replay. */
export const OLDER = "Also where the destination already got a newer revision";

function showFacts(list, detail) {
  const rows = [
    ["Id", el("code", {}, detail.id)],
    ["Received", [local(detail.received_at), ", ", when(detail.received_at)]],
    ["Source", detail.source],
    ["Subject", el("code", {}, detail.subject)],
    ["Candidate", detail.candidate === null ? "none" : el("code", {}, detail.candidate)],
    ["Changed", changed(detail)],
  ];
  if (detail.kept_fields !== null) rows.push(["Kept of the payload", detail.kept_fields.join(", ")]);
  if (detail.route_errors.length > 0) {
    rows.push(["Errors of rules", detail.route_errors.map((error) => el("p", { class: "reason" }, typeof error === "string" ? error : JSON.stringify(error)))]);
  }
  list.replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function revisionColumns(id) {
  const link = (one) => (one.id === id
    ? el("span", { "aria-current": "true" }, `${one.revision}, this one`)
    : el("a", { href: `#/events/${one.id}` }, `Revision ${one.revision}`));
  return [
    { title: "Revision", kind: "name", cell: link },
    { title: "Type", cell: (one) => one.type },
    { title: "Changed", kind: "why", cell: (one) => changed(one) },
    { title: "Received", kind: "age", cell: (one) => when(one.received_at) },
  ];
}

function showDeliveries(section, detail, replay) {
  const looks = JSON.stringify(detail.deliveries);
  if (section.dataset.looks === looks) return;
  section.dataset.looks = looks;
  const focus = document.activeElement?.dataset.delivery;
  const unfolded = new Set([...section.querySelectorAll("details[open]")].map((one) => one.dataset.attempt));
  section.replaceChildren(
    el("h2", { id: "deliveries-title" }, "Deliveries"),
    ...detail.deliveries.map((one) => deliveryView(one, detail.received_at, replay)),
    detail.deliveries.length === 0 ? el("p", { class: "note" }, "No route matched: it goes nowhere.") : "",
  );
  for (const one of section.querySelectorAll("details")) one.open = unfolded.has(one.dataset.attempt);
  if (focus) section.querySelector(`[data-delivery="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

function deliveryView(delivery, received, replay) {
  const attempts = delivery.attempts ?? [];
  const points = attempts.map((attempt, index) => attemptView(attempt, `${delivery.id}/${index + 1}`, received));
  if (delivery.state === "sending") points.push(point("sending", "Being sent now", null));
  if (delivery.state === "waiting") {
    points.push(point("waiting", nextAttempt(delivery.due_at), delivery.last_error && attempts.length === 0
      ? el("p", { class: "reason" }, delivery.last_error) : null));
  }
  if (attempts.length === 0 && FINAL.has(delivery.state)) {
    points.push(point(delivery.state, `Ended without an attempt: ${delivery.state}`, delivery.last_error
      ? el("p", { class: "reason" }, delivery.last_error) : null));
  }
  return el(
    "article", { class: "delivery", "aria-label": `Delivery to ${delivery.destination}` },
    el("header", {},
      el("h3", {}, delivery.destination), badge(delivery.state),
      el("span", { class: "note" }, `route ${delivery.route}`),
      FINAL.has(delivery.state)
        ? button("Replay", () => replay(delivery), { "aria-label": `Replay to ${delivery.destination}`, "data-delivery": delivery.id })
        : null),
    el("ol", { class: "line" }, point("taken", "Taken", el("span", { class: "note" }, local(received))), points),
  );
}

function nextAttempt(due) {
  const late = Date.parse(due) <= now();
  return [late ? "Waits for its lane; it was due " : "Next attempt ", when(due)];
}

function attemptView(attempt, id, received) {
  const what = attempt.verdict ?? "not sent";
  const after = span(Date.parse(attempt.at) - Date.parse(received));
  return point(
    what,
    [`Attempt ${id.split("/")[1]}: ${what}`, attempt.status === null ? "" : `, status ${attempt.status}`],
    [
      el("span", { class: "note" }, `${local(attempt.at)}, ${after} after it was taken, took ${millis(attempt.duration_ms)}`),
      attempt.reason ? el("p", { class: "reason" }, attempt.reason) : null,
      attempt.response
        ? el("details", { "data-attempt": id }, el("summary", {}, "What the receiver said"), el("pre", { tabindex: "0" }, attempt.response))
        : null,
    ],
  );
}

function point(kind, title, more) {
  return el("li", { class: `point ${kind.replace(" ", "-")}` }, el("p", { class: "what" }, title), more);
}

function payloadView(kept) {
  const text = el("pre", { class: "payload", tabindex: "0" });
  const note = el("p", { class: "note" });
  const element = el(
    "details", { class: "personal" },
    el("summary", {}, "Payload ", el("span", { class: "badge personal" }, "personal data")),
    note, text,
  );
  function update() {
    const { payload: value, payload_error: error, kept_fields: fields } = kept();
    const gone = value === null;
    const why = error === null ? "The payload is not kept any more." : `It cannot be shown: ${error}.`;
    const came = fields === null ? "As it came in." : "Only a part of it was kept: what else there was is not known.";
    note.textContent = gone
      ? why
      : `${came} It is about a person: do not copy it further than needed.`;
    text.hidden = gone;
    const shown = element.open && !gone ? JSON.stringify(value, null, 2) : "";
    if (text.textContent !== shown) text.textContent = shown;
  }
  element.addEventListener("toggle", update);
  return { element, update };
}
