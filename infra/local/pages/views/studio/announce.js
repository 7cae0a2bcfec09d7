// The form that announces a film and sends its file.

import { h } from "../../dom.js";
import { field, form } from "../../form.js";
import { call } from "../../session.js";

const PROVIDERS = [
  ["", "The usual place"],
  ["mux", "Mux"],
  ["cloudflare", "Cloudflare Stream"],
];

/** `onAnnounced(answer, file)` takes it from there. */
export function announce(sold, onAnnounced) {
  const made = form(
    {
      submit: "Upload",
      send: async ({ title, description, level, provider, publish, file }) => {
        const body = {
          title,
          description,
          level: Number(level),
          publish: publish === "on",
          filename: file.name,
          size: file.size,
          ...(provider && { provider }),
        };
        const answer = await call("POST", "upload-asset", { body, key: crypto.randomUUID(), attempts: 3 });
        made.reset();
        onAnnounced(answer, file);
      },
    },
    field("File", { name: "file", type: "file", accept: "video/*", required: true }),
    field("Title", { name: "title", required: true, maxlength: 200 }),
    field("Description", { name: "description", as: "textarea", maxlength: 5000 }),
    levelChoice(sold, 1),
    choice("Where it is kept", "provider", PROVIDERS, ""),
    check("Publish as soon as it is ready", "publish"),
  );
  return h("section", {}, h("h2", {}, "A new film"), made);
}

/** Who may watch: which plan is the smallest that opens the film. */
export function levelChoice(sold, chosen) {
  const levels = [
    ["0", "Everybody who is signed in"],
    ...sold.map((plan) => [String(plan.level), `${plan.name} and larger plans`]),
  ];
  if (!levels.some(([level]) => level === String(chosen))) levels.push([String(chosen), `Level ${chosen}`]);
  return choice("Who may watch", "level", levels, String(chosen));
}

function choice(label, name, options, chosen) {
  const made = field(label, { name, as: "select" });
  const items = options.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
  made.querySelector("select").append(...items);
  return made;
}

function check(label, name) {
  const made = field(label, { name, type: "checkbox", checked: true });
  made.classList.add("check");
  return made;
}
