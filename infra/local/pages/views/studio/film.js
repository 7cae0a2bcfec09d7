// One film in the studio: what has become of it, and what one can do with it.

import { h } from "../../dom.js";
import { field, form } from "../../form.js";
import { length } from "../../format.js";
import { planFor } from "../../plans.js";
import { press } from "../../press.js";
import { call } from "../../session.js";
import { levelChoice } from "./announce.js";

const STATUS = {
  waiting: "Waiting for its file",
  processing: "Being prepared",
  ready: "Ready",
  errored: "Failed",
};

const change = async (id, body) => (await call("PATCH", `manage-video?video_id=${id}`, { body })).video;

/** `onChanged(video)` after a change, `onDeleted()` when it is gone. */
export function filmRow(video, sold, { onChanged, onDeleted }) {
  const { id, title, status, published, duration, level } = video;
  const facts = [
    level === 0 ? "Everybody" : (planFor(sold, level)?.name ?? `Level ${level}`),
    duration > 0 && length(duration),
    video.error,
  ];
  const toggle = press(
    published ? "Withdraw" : "Publish",
    async () => onChanged(await change(id, { published: !published })),
    { class: "quiet", "aria-label": `${published ? "Withdraw" : "Publish"} ${title}` },
  );
  return h(
    "li",
    { "aria-label": title },
    h(
      "div",
      {},
      h("strong", {}, status === "ready" && published ? h("a", { href: `/watch/${id}` }, title) : title),
      h(
        "span",
        { class: "badges", role: "status" },
        h("span", { class: status === "errored" ? "badge bad" : "badge" }, STATUS[status] ?? status),
        h("span", { class: "badge" }, published ? "Published" : "Draft"),
      ),
      h("span", { class: "soft" }, facts.filter(Boolean).join(" · ")),
    ),
    h("div", { class: "row" }, toggle, ...editing(video, sold, onChanged), ...deleting(video, onDeleted)),
  );
}

function editing(video, sold, onChanged) {
  const dialog = h(
    "dialog",
    { "aria-label": `Edit ${video.title}` },
    h("h2", {}, "Edit"),
    form(
      {
        submit: "Save",
        send: async ({ title, description, level }) => {
          const changed = await change(video.id, { title, description, level: Number(level) });
          dialog.close();
          onChanged(changed);
        },
      },
      field("Title", { name: "title", value: video.title, required: true, maxlength: 200 }),
      description(video.description ?? ""),
      levelChoice(sold, video.level),
    ),
    h("p", {}, h("button", { class: "quiet", onclick: () => dialog.close() }, "Leave it as it is")),
  );
  const open = h(
    "button",
    { class: "quiet", "aria-label": `Edit ${video.title}`, onclick: () => dialog.showModal() },
    "Edit",
  );
  return [open, dialog];
}

function description(text) {
  const made = field("Description", { name: "description", as: "textarea", maxlength: 5000 });
  made.querySelector("textarea").value = text;
  return made;
}

function deleting(video, onDeleted) {
  const dialog = h(
    "dialog",
    { "aria-label": `Delete ${video.title}` },
    h("h2", {}, `Delete “${video.title}”?`),
    h("p", {}, "Nobody gets to watch it from now on. For seven days an operator can bring it back."),
    h(
      "div",
      { class: "row" },
      press(
        "Delete it",
        async () => {
          await call("DELETE", `manage-video?video_id=${video.id}`);
          dialog.close();
          onDeleted();
        },
        { class: "danger" },
      ),
      h("button", { class: "quiet", onclick: () => dialog.close() }, "Keep it"),
    ),
  );
  const open = h(
    "button",
    { class: "danger", "aria-label": `Delete ${video.title}`, onclick: () => dialog.showModal() },
    "Delete",
  );
  return [open, dialog];
}
