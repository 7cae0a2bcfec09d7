// What can be bought, and the way to pay for it.

import { h } from "../dom.js";
import { field, form } from "../form.js";
import { money } from "../format.js";
import { plans } from "../plans.js";
import { go, signIn } from "../router.js";
import { call, user } from "../session.js";

export const title = "Plans";

export async function render(place) {
  place.append(h("h1", {}, "Choose a plan"), h("p", { class: "soft" }, "Change or cancel whenever you like."));
  const [sold, mine] = await Promise.all([plans(), user() ? call("GET", "account") : null]);
  const current = mine?.entitlement.active ? mine.subscription?.plan : null;
  place.append(
    h("ul", { class: "plans" }, ...sold.map((plan) => card(plan, current))),
    h(
      "p",
      { class: "soft" },
      "In this demo card 4242 4242 4242 4242 pays, and 4000 0000 0000 0002 is declined. Promotion code: WELCOME10.",
    ),
  );
}

function card(plan, current) {
  const { code, name, price, streams, trial_days, level } = plan;
  const points = [
    `${streams} ${streams === 1 ? "screen" : "screens"} at once`,
    level > 1 ? "Every film of the smaller plans, and more" : "All films of this plan",
    trial_days > 0 && `${trial_days} days free`,
  ];
  return h(
    "li",
    { class: code === current && "current" },
    h("h2", {}, name),
    h("p", { class: "price" }, money(price), h("small", {}, ` a ${price.interval}`)),
    h("ul", { class: "points" }, ...points.filter(Boolean).map((point) => h("li", {}, point))),
    code === current
      ? h("p", { class: "row" }, h("strong", {}, "Your plan"), h("a", { href: "/me" }, "Manage it"))
      : current
        ? h("p", {}, h("a", { href: "/me" }, "Change your plan under Account"))
        : checkoutForm(code, name),
  );
}

function checkoutForm(code, name) {
  return form(
    {
      submit: `Choose ${name}`,
      fieldOf: { invalid_promotion_code: "promotion_code" },
      send: async ({ promotion_code }) => {
        if (!user()) return go(signIn());
        const body = { plan: code, ...(promotion_code.trim() && { promotion_code: promotion_code.trim() }) };
        // With a key the call may be repeated when its answer is lost.
        const options = { body, key: crypto.randomUUID(), attempts: 3 };
        location.assign((await call("POST", "create-checkout", options)).checkout_url);
      },
    },
    h(
      "details",
      {},
      h("summary", {}, "I have a promotion code"),
      field("Promotion code", { name: "promotion_code", autocomplete: "off", maxlength: 50 }),
    ),
  );
}
