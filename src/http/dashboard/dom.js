// Elements, made by name. Whatever comes from outside becomes text, never markup.

import { mayAsk } from "./api.js";
import { ago, local } from "./words.js";

/** An element with attributes, properties of `on` as listeners, and children: elements, texts or nothing. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...flat(children));
  return element;
}

/** An SVG element. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
}

export function button(text, onClick, attributes = {}) {
  return el("button", { type: "button", on: { click: onClick }, ...attributes }, text);
}

/**
 * A table whose rows keep their elements, and with them the focus, while what they show stays the same.
 * `columns` are { title, kind, cell(item) }; on a narrow screen each row becomes a block, so the roles are
 * spelled out: browsers forget them with `display`.
 */
export function table({ caption, columns, key, empty }) {
  const body = el("tbody", { role: "rowgroup" });
  const head = columns.map((column) =>
    el("th", { role: "columnheader", scope: "col", class: column.kind }, column.title));
  const element = el(
    "table", { role: "table" },
    el("caption", {}, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    body,
  );
  const rows = new Map();

  function row(item) {
    const cells = columns.map((column, index) => el(
      index === 0 ? "th" : "td",
      {
        role: index === 0 ? "rowheader" : "cell", scope: index === 0 ? "row" : null,
        class: column.kind, "data-title": column.title,
      },
      el("div", {}, column.cell(item)),
    ));
    return el("tr", { role: "row", "data-key": key(item) }, cells);
  }

  function show(items) {
    const focus = focused(body);
    const kept = new Set(items.map(key));
    for (const id of [...rows.keys()]) {
      if (!kept.has(id)) rows.delete(id);
    }
    const elements = items.map((item) => {
      const looks = JSON.stringify(item);
      const old = rows.get(key(item));
      if (old?.looks === looks) return old.element;
      const element = row(item);
      rows.set(key(item), { looks, element });
      return element;
    });
    place(body, elements.length ? elements : [el(
      "tr", { role: "row" }, el("td", { role: "cell", class: "empty", colspan: columns.length }, empty))]);
    restore(body, focus);
  }

  return { element, show };
}

/** Puts `elements` into `parent` in this order, and moves none that is in its place. */
function place(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) {
    if (!wanted.has(child)) child.remove();
  }
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

function focused(body) {
  const active = document.activeElement;
  const row = active?.closest?.("tr[data-key]");
  if (!row || !body.contains(row)) return null;
  return { key: row.dataset.key, what: active.dataset.focus ?? null };
}

function restore(body, focus) {
  if (!focus || body.contains(document.activeElement)) return;
  const row = [...body.children].find((one) => one.dataset.key === focus.key);
  const controls = row ? [...row.querySelectorAll("a, button, input")] : [];
  const same = controls.find((one) => one.dataset.focus === focus.what);
  (same ?? controls[0] ?? document.getElementById("main")).focus({ preventScroll: true });
}

/** A time as its age, which main.js keeps up to date. */
export function when(time) {
  if (!time) return null;
  return el("time", { datetime: time, title: local(time), "data-ago": true }, ago(time));
}

/** Brings every age on the page up to date. */
export function tick() {
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const text = ago(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}

export function badge(state) {
  return el("span", { class: `badge ${state}` }, state);
}

/** A place for what went wrong; empty while nothing did. */
export function trouble(again) {
  const element = el("div", { role: "alert" });
  return {
    element,
    show(error) {
      if (element.querySelector("p")?.textContent === error.message) return;
      element.replaceChildren(el("div", { class: "trouble" }, el("p", {}, error.message), button("Try again", () => {
        mayAsk();
        again();
      })));
    },
    clear() {
      if (element.hasChildNodes()) element.replaceChildren();
    },
  };
}
