// Everything somebody can see and settle about their account.

import { deviceName } from "../device.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { planName } from "../plans.js";
import { press } from "../press.js";
import { go, signIn } from "../router.js";
import { call, forget, user } from "../session.js";
import { describe } from "./membership.js";

export const title = "Account";

export async function render(place) {
  if (!user()) return go(signIn(), { replace: true });
  const account = await call("GET", "account");
  place.append(h("h1", {}, "Account"), who(account), await membership(account), devices(account, place));
}

function who({ user: { name, email } }) {
  return h(
    "section",
    {},
    h("h2", {}, "You"),
    h("dl", {}, h("dt", {}, "Name"), h("dd", {}, name ?? "–"), h("dt", {}, "Email"), h("dd", {}, email)),
  );
}

async function membership({ subscription, entitlement }) {
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

function devices({ sessions }, place) {
  const again = async () => {
    place.replaceChildren();
    await render(place);
  };
  const everywhere = async () => {
    await call("POST", "logout", { body: { everywhere: true } });
    forget();
    await go("/sign-in");
  };
  return h(
    "section",
    {},
    h("h2", {}, "Devices"),
    h("p", { class: "soft" }, "Where this account is signed in. End what you do not know, and change your password."),
    h("ul", { class: "rows" }, ...sessions.map((session) => device(session, again))),
    press("Sign out everywhere", everywhere, { class: "quiet" }),
  );
}

function device({ id, device_name, address, last_used_at, current }, again) {
  // The login that registering made has no name.
  const name = device_name ?? (current ? deviceName() : "A device without a name");
  return h(
    "li",
    {},
    h(
      "div",
      {},
      h("strong", {}, name),
      h("span", { class: "soft" }, [address, `last used ${moment(last_used_at)}`].filter(Boolean).join(" · ")),
    ),
    current
      ? h("span", { class: "badge" }, "This device")
      : press(
          "Sign out",
          async () => {
            await call("POST", "logout", { body: { session_id: id } });
            await again();
          },
          { class: "quiet", "aria-label": `Sign out ${name}` },
        ),
  );
}
