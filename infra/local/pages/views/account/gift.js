import { h } from "../../dom.js";
import { field, form } from "../../form.js";
import { call } from "../../session.js";

/** `again` shows the account anew. */
export function gift(again) {
  return h(
    "section",
    {},
    h("h2", {}, "A gift"),
    form(
      {
        submit: "Redeem",
        kind: "quiet",
        fieldOf: { unknown_code: "code", already_redeemed: "code" },
        send: async ({ code }) => {
          const body = { code: code.trim() };
          await call("POST", "redeem", { body, key: crypto.randomUUID(), attempts: 3 });
          await again();
        },
      },
      field("Gift code", { name: "code", autocomplete: "off", required: true, maxlength: 60 }),
    ),
  );
}
