// Where Stripe sends people back after they have paid.

import { h } from "../dom.js";
import { planName } from "../plans.js";
import { go, signIn } from "../router.js";
import { call, user } from "../session.js";
import { takeWanted } from "../wanted.js";
import { describe } from "./membership.js";

export const title = "Thank you";

export async function render(place, { query }) {
  if (!user()) return go(signIn(), { replace: true });
  const said = h("p", { role: "status" }, "One moment: asking how the payment went …");
  const card = h("section", { class: "narrow" }, h("h1", {}, "Thank you"), said);
  place.append(card);
  // This asks Stripe at once. Without it access would come too, a moment later.
  const { subscription, entitlement } = await call("POST", "confirm-checkout", {
    body: { session_id: query.get("session_id") ?? "" },
    attempts: 3,
  });
  const what = describe(subscription, entitlement, await planName(entitlement.plan));
  const wanted = takeWanted();
  if (wanted?.bought) said.textContent = `“${wanted.title}” is yours to watch.`;
  else if (entitlement.active) said.textContent = `You are in. ${what}`;
  // A card that had a free trial before gets no second one.
  else if (entitlement.reason === "canceled")
    said.textContent = "Nothing was charged: this card has had its free trial. Choose the plan again, without one.";
  else said.textContent = "Your payment is on its way. The films open as soon as it arrives.";
  card.append(
    h(
      "p",
      { class: "row" },
      wanted
        ? h("a", { class: "button", href: `/watch/${wanted.id}` }, `Watch “${wanted.title}”`)
        : h("a", { class: "button", href: "/" }, "To the films"),
      h("a", { href: "/me" }, "Your account"),
    ),
  );
}
