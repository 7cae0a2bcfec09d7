// Where the mail about a new address leads. It takes a press: programs that look through mails follow links, too.

import { send } from "../api.js";
import { h } from "../dom.js";
import { press } from "../press.js";
import { takeToken } from "../router.js";
import { call, keepUser, user } from "../session.js";

export const title = "Your email";

export function render(place, { query }) {
  const token = takeToken(query);
  const card = h("section", { class: "narrow" }, h("h1", {}, "Your email"));
  place.append(card);
  if (!token) {
    card.append(
      h("p", {}, "Each address has to be confirmed once: follow the link in the mail we sent you."),
      user() && press("Send the mail again", () => again(card)),
    );
    return;
  }
  const confirm = async () => {
    await send("POST", "verify-email", { body: { token } });
    if (user()) keepUser((await call("GET", "account")).user);
    card.replaceChildren(
      h("h1", {}, "Thank you"),
      h("p", { role: "status" }, "Your email is confirmed."),
      h("p", {}, h("a", { class: "button", href: "/" }, "To the films")),
    );
  };
  card.append(h("p", {}, "One press, and we know that this address is yours."), press("Confirm my email", confirm));
}

async function again(card) {
  await call("POST", "verify-email", { body: {} });
  card.append(h("p", { role: "status" }, "It is on its way. Look into the spam folder as well."));
}
