// The live stream, read by fetch so that the token can travel in a header. It comes back by itself.

import { send, onToken } from "./api.js";

/** The relay breaks its silence every 15 seconds; after this much more the line is dead. */
const SILENCE = 40_000;
const AGAIN = 2_000;

const listeners = new Set();
let state = "connecting";
let wake = () => {};

/** Calls `listener(kind, data)` for what happens; kind "state" tells how the line stands. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(kind, data) {
  for (const listener of [...listeners]) listener(kind, data);
}

function stand(next) {
  if (state === next) return;
  state = next;
  tell("state", next);
}

export async function run() {
  onToken(() => wake());
  for (;;) {
    try {
      await follow(new AbortController());
    } catch (error) {
      if (error.status === 401) {
        stand("no token");
        await new Promise((resolve) => { wake = resolve; });
        continue;
      }
    }
    stand("reconnecting");
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, AGAIN);
    });
  }
}

async function follow(control) {
  const response = await send("/api/v1/stream", { signal: control.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  stand("live");
  let text = "";
  for (;;) {
    const dead = setTimeout(() => control.abort(), SILENCE);
    const { value, done } = await reader.read().finally(() => clearTimeout(dead));
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    blocks.forEach(hear);
  }
}

function hear(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
  }
  if (fields.event) tell(fields.event, JSON.parse(fields.data));
}

/** Runs `work` at once, and again after calls, but never twice at a time nor more often than every `ms`. */
export function paced(work, ms) {
  let timer = null;
  let again = false;
  let stopped = false;
  async function run() {
    again = false;
    timer = setTimeout(() => {
      timer = null;
      if (again) call();
    }, ms);
    busy = true;
    try {
      await work();
    } finally {
      busy = false;
      if (again && timer === null) call();
    }
  }
  let busy = false;
  function call() {
    again = true;
    if (!busy && timer === null && !stopped) run();
  }
  call.stop = () => { stopped = true; };
  return call;
}
