// What somebody has, in a sentence.

import { day } from "../format.js";

const ENDED = {
  none: "You have no plan yet.",
  payment_failed: "Your last payment did not go through. Update your card to go on watching.",
  paused: "Your plan is paused.",
  refunded: "Your payment was refunded, and the plan has ended.",
  disputed: "Your payment was disputed at your bank, and the plan has ended.",
  canceled: "Your plan has ended.",
  expired: "Your plan has ended.",
};
/** `name` is the plan's. */
export function describe(subscription, entitlement, name) {
  if (!entitlement.active) return ENDED[entitlement.reason] ?? ENDED.expired;
  if (entitlement.reason === "staff") return "You may watch everything: you work here.";
  if (entitlement.reason === "gift") return `${name}, a gift: you can watch until ${day(entitlement.until)}.`;
  if (!subscription) return entitlement.until ? `${name} until ${day(entitlement.until)}.` : `${name}.`;
  if (subscription.cancel_at_period_end)
    return `${name}, canceled: you can watch until ${day(subscription.current_period_end)}.`;
  if (entitlement.reason === "grace")
    return `${name}. A payment is missing: update your card before ${day(entitlement.until)}.`;
  if (entitlement.reason === "trial") return `${name}, free until ${day(subscription.trial_end)}.`;
  return `${name}, renews on ${day(subscription.current_period_end)}.`;
}
