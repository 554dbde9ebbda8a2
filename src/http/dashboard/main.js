// The page: which view is shown, how the line stands, and whose token it is.

import { onToken } from "./api.js";
import { dead } from "./dead.js";
import { tick } from "./dom.js";
import { event } from "./event.js";
import { events } from "./events.js";
import * as live from "./live.js";
import { overview } from "./overview.js";

const VIEWS = [
  [/^#\/$/, overview],
  [/^#\/events$/, events],
  [/^#\/events\/(evt_[0-9a-f]{32})$/, event],
  [/^#\/dead$/, dead],
];

const main = document.getElementById("main");
let shown = null;

function route() {
  const hash = location.hash || "#/";
  const found = VIEWS.map(([pattern, view]) => [hash.match(pattern), view]).find(([match]) => match);
  const first = shown === null;
  shown?.stop();
  if (!found) {
    location.replace("#/");
    return;
  }
  const [match, view] = found;
  shown = view(...match.slice(1));
  main.replaceChildren(...shown.elements);
  document.title = `${shown.title} – mojito-relay`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash === hash || (link.hash !== "#/" && hash.startsWith(`${link.hash}/`));
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!first) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

document.getElementById("skip").addEventListener("click", (click) => {
  click.preventDefault();
  main.focus();
});

const link = document.getElementById("link");
live.listen((kind, data) => {
  if (kind !== "state") return;
  link.textContent = data;
  link.classList.toggle("live", data === "live");
});

const forget = document.getElementById("forget");
// A page that is loaded anew has neither the token nor anything that was shown with it.
forget.addEventListener("click", () => location.reload());
onToken(() => { forget.hidden = false; });

addEventListener("hashchange", route);
setInterval(tick, 1000);
route();
live.run();
