import { send } from "../api.js";
import { h } from "../dom.js";
import { field, form } from "../form.js";
import { go, next } from "../router.js";
import { keep } from "../session.js";

export const title = "Join";

export function render(place, { query }) {
  place.append(
    h(
      "section",
      { class: "narrow" },
      h("h1", {}, "Join Streamly"),
      form(
        {
          submit: "Create account",
          fieldOf: { email_taken: "email", weak_password: "password" },
          send: async ({ name, email, password }) => {
            const body = { email, password, ...(name.trim() && { name: name.trim() }) };
            const answer = await send("POST", "register", { body });
            // Where addresses are confirmed first, nobody is told who has an account already.
            if (!answer.access_token) return lookIntoMail(place, email);
            keep(answer);
            await go(query.has("next") ? next(query) : "/plans", { replace: true });
          },
        },
        field("Name", { name: "name", autocomplete: "name", maxlength: 100, note: "If you like." }),
        field("Email", { name: "email", type: "email", autocomplete: "username", required: true }),
        field("Password", {
          name: "password",
          type: "password",
          autocomplete: "new-password",
          required: true,
          note: "Eight characters or more. A few words in a row are best.",
        }),
      ),
      h("p", { class: "soft" }, "Already here? ", h("a", { href: `/sign-in${location.search}` }, "Sign in")),
    ),
  );
}

function lookIntoMail(place, email) {
  place.replaceChildren(
    h(
      "section",
      { class: "narrow" },
      h("h1", {}, "Look into your mail"),
      h("p", { role: "status" }, `We have sent a link to ${email}. Follow it, and then sign in.`),
      h("p", {}, h("a", { class: "button", href: `/sign-in${location.search}` }, "Sign in")),
    ),
  );
}
