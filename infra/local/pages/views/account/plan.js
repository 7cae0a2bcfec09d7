import { h } from "../../dom.js";
import { planName } from "../../plans.js";
import { press } from "../../press.js";
import { call } from "../../session.js";
import { describe } from "../membership.js";

export async function plan({ subscription, entitlement }) {
  const text = describe(subscription, entitlement, await planName(entitlement.plan ?? subscription?.plan));
  const portal = async () => location.assign((await call("POST", "create-portal", { body: {} })).portal_url);
  return h(
    "section",
    {},
    h("h2", {}, "Plan"),
    h("p", {}, text),
    h(
      "div",
      { class: "row" },
      !entitlement.active && h("a", { class: "button", href: "/plans" }, "See the plans"),
      subscription && press("Payment and cancellation", portal, { class: "quiet" }),
    ),
  );
}
