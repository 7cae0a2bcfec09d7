import { send } from "../api.js";
import { deviceName } from "../device.js";
import { h } from "../dom.js";
import { field, form } from "../form.js";
import { go, next } from "../router.js";
import { keep } from "../session.js";

export const title = "Sign in";

export function render(place, { query }) {
  place.append(
    h(
      "section",
      { class: "narrow" },
      h("h1", {}, "Sign in"),
      form(
        {
          submit: "Sign in",
          send: async ({ email, password }) => {
            keep(await send("POST", "login", { body: { email, password, device_name: deviceName() } }));
            await go(next(query), { replace: true });
          },
        },
        field("Email", { name: "email", type: "email", autocomplete: "username", required: true }),
        field("Password", { name: "password", type: "password", autocomplete: "current-password", required: true }),
      ),
      h("p", { class: "soft" }, h("a", { href: "/reset-password" }, "Forgot your password?")),
      h("p", { class: "soft" }, "New here? ", h("a", { href: `/join${location.search}` }, "Join Streamly")),
    ),
  );
}
