// Numbers, times and states as words. Ages are told by the relay's clock, not by this machine's.

let skew = 0;

/** The relay said that it is `now`. */
export function relayTime(now) {
  skew = Date.parse(now) - Date.now();
}

export function now() {
  return Date.now() + skew;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** A length of time in its two largest units: "3 h 12 min". */
export function span(ms) {
  let seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds === 0) return "0 s";
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    seconds -= count * size;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** How long ago that was, or how long it is until then. */
export function ago(time) {
  if (!time) return "";
  const ms = now() - Date.parse(time);
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `${span(ms)} ago` : `in ${span(-ms)}`;
}

export function millis(ms) {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const LOCAL = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

/** A time of day where the reader is: 2026-11-22 09:30:00. */
export function local(time) {
  return time ? LOCAL.format(new Date(time)) : "";
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** What an operator does about a lane that stands so. */
export const ADVICE = {
  healthy: "",
  open: "It does not answer. One delivery at a time probes it; the backlog follows by itself.",
  blocked: "It refuses the relay. Mend the cause, then resume; or correct relay.toml and reload.",
  paused: "Held by an operator, or by paused = true in relay.toml.",
  orphaned: "Put it back into relay.toml, name it in its successor’s was, or move its backlog: relay move.",
};

const TROUBLE = ["blocked", "open", "orphaned", "paused", "healthy"];

/** Lanes in trouble first, then by name. */
export function byTrouble(a, b) {
  return TROUBLE.indexOf(a.state) - TROUBLE.indexOf(b.state) || a.name.localeCompare(b.name);
}
