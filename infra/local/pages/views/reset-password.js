// A forgotten password: first the email, then, from the mail's link, the new one.

import { send } from "../api.js";
import { h } from "../dom.js";
import { field, form } from "../form.js";
import { takeToken } from "../router.js";
import { forget } from "../session.js";

export const title = "Forgotten password";

export function render(place, { query }) {
  const card = h("section", { class: "narrow" });
  place.append(card);
  const token = takeToken(query);
  if (token) choose(card, token);
  else ask(card);
}

function ask(card) {
  const mail = async ({ email }) => {
    await send("POST", "reset-password", { body: { email } });
    // Whether there is an account is not told to strangers.
    card.replaceChildren(
      h("h1", {}, "Look into your mail"),
      h("p", { role: "status" }, `If ${email} has an account, a link to choose a new password is on its way there.`),
    );
  };
  card.append(
    h("h1", {}, "Forgotten password"),
    h("p", { class: "soft" }, "Tell us your email, and we send you a link."),
    form(
      { submit: "Send the link", send: mail },
      field("Email", { name: "email", type: "email", autocomplete: "username", required: true }),
    ),
  );
}

function choose(card, token) {
  const set = async ({ password }) => {
    await send("POST", "reset-password", { body: { token, password } });
    // Every login has ended, this one too.
    forget();
    card.replaceChildren(
      h("h1", {}, "Your password is changed"),
      h("p", { role: "status" }, "All devices have been signed out."),
      h("p", {}, h("a", { class: "button", href: "/sign-in" }, "Sign in")),
    );
  };
  card.append(
    h("h1", {}, "A new password"),
    form(
      { submit: "Save it", send: set, fieldOf: { weak_password: "password" } },
      field("New password", {
        name: "password",
        type: "password",
        autocomplete: "new-password",
        required: true,
        note: "Eight characters or more. A few words in a row are best.",
      }),
    ),
    h("p", { class: "soft" }, "A link that no longer works? ", h("a", { href: "/reset-password" }, "Ask for another")),
  );
}
