// Name, email and password. What could take an account over asks for the password again.

import { h } from "../../dom.js";
import { field, form } from "../../form.js";
import { call, keepUser } from "../../session.js";

const CURRENT = { name: "current_password", type: "password", autocomplete: "current-password", required: true };

export function profile({ user }) {
  return h(
    "section",
    {},
    h("h2", {}, "You"),
    h(
      "p",
      { class: "soft" },
      user.email,
      " ",
      user.email_verified ? "(confirmed)" : h("a", { href: "/verify-email" }, "Confirm it"),
    ),
    name(user),
    h("details", {}, h("summary", {}, "Change the email"), email()),
    h("details", {}, h("summary", {}, "Change the password"), password(user)),
  );
}

/** A form that says when it is done. */
function changing(options, ...fields) {
  const done = h("p", { role: "status", class: "good" });
  const send = async (values, made) => {
    done.textContent = "";
    done.textContent = await options.send(values, made);
  };
  return h("div", {}, form({ kind: "quiet", ...options, send }, ...fields), done);
}

function name(user) {
  return changing(
    {
      submit: "Save the name",
      send: async (values) => {
        keepUser(await call("PATCH", "account", { body: { name: values.name.trim() || null } }));
        return "Saved.";
      },
    },
    field("Name", { name: "name", value: user.name, autocomplete: "name", maxlength: 100 }),
  );
}

function email() {
  return changing(
    {
      submit: "Change the email",
      fieldOf: { wrong_password: "current_password" },
      send: async ({ email, current_password }, made) => {
        await call("PATCH", "account", { body: { email, current_password } });
        made.reset();
        return `We have sent a link to ${email}. The new address counts once it is followed.`;
      },
    },
    field("New email", { name: "email", type: "email", autocomplete: "email", required: true }),
    field("Your password", CURRENT),
  );
}

function password({ email }) {
  return changing(
    {
      submit: "Change the password",
      fieldOf: { wrong_password: "current_password", weak_password: "password" },
      send: async ({ password, current_password }, made) => {
        await call("PATCH", "account", { body: { password, current_password } });
        made.reset();
        return "Changed. Every other device has been signed out.";
      },
    },
    // For password managers, which save a new password under a name.
    h("input", {
      type: "email",
      name: "username",
      value: email,
      autocomplete: "username",
      hidden: true,
      readonly: true,
    }),
    field("New password", {
      name: "password",
      type: "password",
      autocomplete: "new-password",
      required: true,
      note: "Eight characters or more.",
    }),
    field("Your password until now", CURRENT),
  );
}
