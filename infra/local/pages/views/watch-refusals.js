// What stands in the film's place when it may not be played: why, and what one can do.

import { h } from "../dom.js";
import { money, moment } from "../format.js";
import { press } from "../press.js";
import { messageOf } from "../refusals.js";
import { join, signIn } from "../router.js";
import { call } from "../session.js";
import { want } from "../wanted.js";

const plansLink = (text) => h("a", { class: "button", href: "/plans" }, text);
const portalButton = (text) =>
  press(text, async () => location.assign((await call("POST", "create-portal", { body: {} })).portal_url));

// 402 says why there is no access.
const REASONS = {
  none: ["This film is part of a plan", "Choose one, and it starts right here.", () => plansLink("See the plans")],
  expired: ["Your plan has ended", "Take it up again to go on watching.", () => plansLink("See the plans")],
  canceled: ["Your plan has ended", "Take it up again to go on watching.", () => plansLink("See the plans")],
  payment_failed: [
    "Your last payment did not go through",
    "Update your card to go on watching.",
    () => portalButton("Update your card"),
  ],
  paused: ["Your plan is paused", "Resume it to go on watching.", () => portalButton("Resume the plan")],
  refunded: ["Your payment was refunded", "Choose a plan to go on watching.", () => plansLink("See the plans")],
  disputed: [
    "Your payment was disputed at your bank",
    "Write to us if that is a mistake.",
    () => plansLink("See the plans"),
  ],
};

const term = ({ rental_hours }) => (rental_hours ? `Rent for ${rental_hours} hours` : "Buy");
const buyButton = (film) =>
  film.price &&
  press(`${term(film.price)}: ${money(film.price)}`, async () => {
    const options = { body: { video_id: film.id }, key: crypto.randomUUID(), attempts: 3 };
    want(film, { bought: true });
    location.assign((await call("POST", "create-checkout", options)).checkout_url);
  });

/**
 * `again(takeover)` asks for the film once more, ending the given playback session first; `preview()` plays its beginning,
 * where anybody may watch that.
 */
export function refusalPanel(error, film, { again, preview }) {
  const others = [buyButton(film), film.preview_url && press("Watch the beginning", preview)];
  const retry = (text) => press(text, () => again());
  switch (error.code) {
    case "signed_out":
      return panel(
        "Sign in to watch",
        h("p", {}, "New here? Joining takes a minute."),
        h(
          "p",
          { class: "row" },
          h("a", { class: "button", href: signIn() }, "Sign in"),
          h("a", { class: "button", href: join() }, "Join"),
        ),
        film.preview_url && press("Watch the beginning", preview),
      );
    case "subscription_required": {
      want(film);
      const [title, text, way] = REASONS[error.problem.reason] ?? REASONS.none;
      return panel(title, h("p", {}, text), way(), ...others);
    }
    case "plan_upgrade_required":
      return panel(
        "Your plan does not include this film",
        h("p", {}, "A larger plan does. You can change yours at any time."),
        portalButton("Change your plan"),
        plansLink("Compare the plans"),
        ...others,
      );
    case "too_many_streams":
      return panel(
        "Your plan’s screens are all in use",
        h("p", {}, "Stop one of them, or take its place here:"),
        h("ul", { class: "screens" }, ...error.problem.playing.map((one) => screen(one, again))),
        retry("Try again"),
      );
    case "playback_session_not_found":
      return panel(
        "Stopped: another screen has taken this place",
        h("p", {}, "Somebody on this account plays a film there now."),
        retry("Watch here again"),
      );
    case "video_not_ready":
      return panel("This film is still being prepared", h("p", {}, "It starts by itself as soon as it is ready."));
    case "video_not_found":
      return panel(
        "This film is not here",
        h("p", {}, "It may have been taken down."),
        h("a", { class: "button", href: "/" }, "To the films"),
      );
    default:
      return panel("The film cannot be played", h("p", {}, messageOf(error)), retry("Try again"));
  }
}

function screen({ session_id, device_name, title, since }, again) {
  const device = device_name ?? "A device without a name";
  return h(
    "li",
    {},
    h("div", {}, h("strong", {}, device), h("span", { class: "soft" }, `${title} · since ${moment(since)}`)),
    press("Watch here instead", () => again(session_id), { "aria-label": `Watch here instead of on ${device}` }),
  );
}

function panel(title, ...parts) {
  return h("div", { class: "panel" }, h("h2", { tabindex: "-1" }, title), ...parts);
}
