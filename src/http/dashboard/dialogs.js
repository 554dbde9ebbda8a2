// The two dialogs: one asks for the token, one asks whether something is meant. Both are modal, so the
// browser keeps the focus inside, and gives it back afterwards.

const byId = (id) => document.getElementById(id);

/** Opens `dialog` and answers what `answer` makes of its submission; null if it was closed otherwise. */
function ask(dialog, form, cancel, answer) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = (value) => {
      over.abort();
      dialog.close();
      resolve(value);
    };
    const { signal } = over;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      end(answer());
    }, { signal });
    cancel.addEventListener("click", () => end(null), { signal });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(null);
    }, { signal });
    dialog.showModal();
  });
}

/** The token that the operator types, or null. */
export async function askToken(wrong) {
  const value = byId("token-value");
  byId("token-why").textContent = wrong
    ? "That is not the token. It is the one of [admin] in relay.toml."
    : "This relay asks for the token of [admin] in relay.toml.";
  value.value = "";
  const given = await ask(byId("token"), byId("token-form"), byId("token-cancel"), () => value.value.trim());
  value.value = "";
  return given;
}

/** Whether the operator means it: null if not, else { checked }. `option` is the text of a further choice. */
export async function confirm({ title, text, yes, option = null }) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  byId("confirm-option").hidden = option === null;
  byId("confirm-check-text").textContent = option ?? "";
  const check = byId("confirm-check");
  check.checked = false;
  return ask(byId("confirm"), byId("confirm-form"), byId("confirm-no"), () => ({ checked: check.checked }));
}

/** Tells, politely, what came of something. */
export function say(text) {
  const place = byId("say");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { place.textContent = ""; }, 12_000);
}
