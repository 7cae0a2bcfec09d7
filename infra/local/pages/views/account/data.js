// Taking everything along, and leaving for good.

import { h } from "../../dom.js";
import { field, form } from "../../form.js";
import { press } from "../../press.js";
import { go } from "../../router.js";
import { call, forget } from "../../session.js";

export function data() {
  const closing = leaving();
  return h(
    "section",
    {},
    h("h2", {}, "Your data"),
    h("p", { class: "soft" }, "Everything we hold about you, as a file."),
    press("Download", download, { class: "quiet" }),
    h("h3", { class: "apart" }, "Leave"),
    h("p", { class: "soft" }, "Your account, your plan and what you have watched go for good. Nothing is refunded."),
    h("button", { class: "danger", onclick: () => closing.showModal() }, "Delete the account …"),
    closing,
  );
}

async function download() {
  const held = await call("GET", "account?export=1");
  const address = URL.createObjectURL(new Blob([JSON.stringify(held, null, 2)], { type: "application/json" }));
  h("a", { href: address, download: "streamly-account.json" }).click();
  URL.revokeObjectURL(address);
}

function leaving() {
  const made = h(
    "dialog",
    { "aria-labelledby": "leaving" },
    h("h2", { id: "leaving" }, "Delete the account?"),
    h("p", {}, "This cannot be taken back."),
    form(
      {
        submit: "Delete it for good",
        kind: "danger",
        fieldOf: { wrong_password: "password" },
        send: async ({ password }) => {
          await call("DELETE", "account", { body: { password } });
          made.close();
          forget();
          await go("/");
        },
      },
      field("Your password", { name: "password", type: "password", autocomplete: "current-password", required: true }),
    ),
    h("p", {}, h("button", { class: "quiet", onclick: () => made.close() }, "Keep it")),
  );
  return made;
}
