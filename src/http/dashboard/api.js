// Speaks to the relay's API. The token lives in this module's memory, and nowhere else.

import { askToken } from "./dialogs.js";

let token = null;
let asking = null;
let declined = false;
const watchers = new Set();

/** What the relay answered when it did not do what it was asked. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Calls `watcher` whenever a token is taken. */
export function onToken(watcher) {
  watchers.add(watcher);
}

/** The operator wants something: ask for the token again, although it was not given the last time. */
export function mayAsk() {
  declined = false;
}

/** An answer of the API; asks for the token where the relay does. */
export async function send(path, { method = "GET", body, signal } = {}) {
  for (;;) {
    const tried = token;
    const response = await once(path, { method, body, signal });
    if (response.status === 401) {
      await newToken(tried);
      continue;
    }
    if (response.ok) return response;
    throw new Problem(response.status, await detail(response));
  }
}

async function once(path, { method, body, signal }) {
  const headers = { accept: "application/json, text/event-stream" };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  if (method === "POST") headers["content-type"] = "application/json";
  const sent = method === "POST" ? JSON.stringify(body ?? {}) : undefined;
  try {
    return await fetch(path, {
      method, headers, body: sent, signal, cache: "no-store", credentials: "omit", redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The relay does not answer.");
  }
}

async function detail(response) {
  try {
    const problem = await response.json();
    return problem.detail ?? problem.title ?? `status ${response.status}`;
  } catch {
    return `status ${response.status}`;
  }
}

/** Waits for a token other than `tried`. However many requests wait, one dialog asks. */
async function newToken(tried) {
  if (token !== tried) return;
  const wrong = tried !== null;
  if (!declined) asking ??= askToken(wrong).finally(() => { asking = null; });
  const given = declined ? null : await asking;
  declined = given === null;
  if (given === null) throw new Problem(401, "Without the token the relay shows nothing.");
  if (token === tried) {
    token = given;
    for (const watcher of watchers) watcher();
  }
}

export async function get(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.size > 0 ? `${path}?${query}` : path;
  return exact(await (await send(`/api/v1/${text}`)).text());
}

export async function post(path, body) {
  mayAsk();
  return (await send(`/api/v1/${path}`, { method: "POST", body })).json();
}

/** JSON in which numbers keep the digits that they were sent with, where the browser can do that. */
function exact(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  return JSON.parse(text, (_, value, { source }) =>
    typeof value === "number" && String(value) !== source ? JSON.rawJSON(source) : value);
}
