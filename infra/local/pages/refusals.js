// What a person reads when the API says no. The API's own words are for developers.

import { Unreachable } from "./api.js";

const TEXTS = {
  invalid_credentials: "Email or password is wrong.",
  email_taken: "There is an account with this email already. Sign in instead?",
  weak_password: "Choose a longer password, one that is less common and not your name or email.",
  email_not_verified: "Please follow the link in the mail we sent you first.",
  invalid_link: "This link is no longer good. Ask for a new one.",
  wrong_password: "That is not your password.",
  too_many_attempts: "Too many attempts. Please wait a few minutes.",
  too_many_requests: "That was a bit much at once. Please wait a few minutes.",
  already_subscribed: "You have a plan already. Change it under “Payment and cancellation”.",
  invalid_promotion_code: "This promotion code does not work here.",
  unknown_plan: "This plan is no longer sold.",
  unknown_code: "We do not know this code.",
  already_redeemed: "This code has been used already.",
  last_admin: "You are the last admin: somebody has to run the place.",
  no_customer: "Nothing has been bought with this account yet.",
  forbidden: "This is for admins only.",
  unavailable: "Streamly is busy right now. Please try again in a moment.",
  internal_error: "That is our fault. Please try again; if it stays, tell us.",
};

/** A sentence for any error. */
export function messageOf(error) {
  if (error instanceof Unreachable) return "No connection to Streamly. Check your network and try again.";
  if (error.code === "invalid_request") return "Please look at the fields marked below.";
  if (error.status === 500) return `${TEXTS.internal_error} (${error.problem.request_id})`;
  return TEXTS[error.code] ?? error.message;
}
