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
            keep(await send("POST", "register", { body }));
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
