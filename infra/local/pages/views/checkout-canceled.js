// Where Stripe sends people back who did not pay.

import { h } from "../dom.js";

export const title = "Nothing was bought";

export function render(place) {
  place.append(
    h(
      "section",
      { class: "narrow" },
      h("h1", {}, "Nothing was bought"),
      h("p", {}, "You left before paying, and nothing has been charged."),
      h(
        "p",
        { class: "row" },
        h("a", { class: "button", href: "/plans" }, "Back to the plans"),
        h("a", { href: "/" }, "To the films"),
      ),
    ),
  );
}
