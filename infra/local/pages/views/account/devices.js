// Where the account is signed in, and the way to end that.

import { deviceName } from "../../device.js";
import { h } from "../../dom.js";
import { moment } from "../../format.js";
import { press } from "../../press.js";
import { call } from "../../session.js";

/** `again` shows the account anew. */
export function devices({ sessions }, again) {
  const end = async (body) => {
    await call("POST", "logout", { body });
    await again();
  };
  return h(
    "section",
    {},
    h("h2", {}, "Devices"),
    h("p", { class: "soft" }, "Where this account is signed in. End what you do not know, and change your password."),
    h("ul", { class: "rows" }, ...sessions.map((session) => device(session, end))),
    sessions.length > 1 && press("Sign out all others", () => end({ others: true }), { class: "quiet" }),
  );
}

function device({ id, device_name, address, last_used_at, current }, end) {
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
      : press("Sign out", () => end({ session_id: id }), { class: "quiet", "aria-label": `Sign out ${name}` }),
  );
}
