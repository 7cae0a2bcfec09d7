// The studio: a film's file goes up, and becomes something to watch.

import { send } from "../api.js";
import { h } from "../dom.js";
import { field, form } from "../form.js";
import { plans } from "../plans.js";
import { messageOf } from "../refusals.js";
import { go, signIn } from "../router.js";
import { call, user } from "../session.js";
import { upload } from "../upload/upload.js";

export const title = "Studio";

const PROVIDERS = [
  ["", "The usual place"],
  ["mux", "Mux"],
  ["cloudflare", "Cloudflare Stream"],
];
const LOOK_AGAIN = 1_500;
const READY_WITHIN = 30 * 60_000;

export async function render(place) {
  if (user()?.role !== "admin") return go(signIn(), { replace: true });
  const sold = await plans();
  const sendings = h("div", { class: "sendings" });
  const leaving = new AbortController();
  place.append(h("h1", {}, "Studio"), uploadForm(sold, sendings, leaving.signal), sendings);
  return () => leaving.abort(new Error("Left."));
}

function uploadForm(sold, sendings, leaving) {
  const levels = [
    ["0", "Everybody who is signed in"],
    ...sold.map((plan) => [String(plan.level), `${plan.name} and larger plans`]),
  ];
  const file = field("File", { name: "file", type: "file", accept: "video/*", required: true });
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
        const options = { body, key: crypto.randomUUID(), attempts: 3 };
        const announced = await call("POST", "upload-asset", options);
        made.reset();
        sendings.prepend(sending(announced, file, leaving));
      },
    },
    file,
    field("Title", { name: "title", required: true, maxlength: 200 }),
    field("Description", { name: "description", as: "textarea", maxlength: 5000 }),
    choice("Who may watch", "level", levels, "1"),
    choice("Where it is kept", "provider", PROVIDERS, ""),
    check("Publish as soon as it is ready", "publish"),
  );
  return h("section", {}, h("h2", {}, "A new film"), made);
}

function choice(label, name, options, chosen) {
  const made = field(label, { name, as: "select" });
  made
    .querySelector("select")
    .append(...options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return made;
}

function check(label, name) {
  const made = field(label, { name, type: "checkbox", checked: true });
  made.classList.add("check");
  return made;
}

/** One upload on its way: how far, and then whether it can be watched. */
function sending({ video, upload: target }, file, leaving) {
  const stopping = new AbortController();
  const signal = AbortSignal.any([stopping.signal, leaving]);
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of ${video.title}` });
  const said = h("p", { role: "status" }, "Uploading …");
  const stop = h("button", { class: "quiet" }, "Stop");
  stop.addEventListener("click", () => stopping.abort(new Error("Stopped.")));
  const follow = async () => {
    await upload(target, file, {
      signal,
      onProgress: (fraction) => {
        bar.value = fraction;
      },
    });
    stop.remove();
    bar.removeAttribute("value");
    said.textContent = "Uploaded. It is being prepared …";
    await becomesReady(video, signal);
    bar.remove();
    said.replaceChildren("Ready. ", h("a", { href: `/watch/${video.id}` }, "Watch it"));
  };
  follow().catch((error) => {
    bar.remove();
    stop.remove();
    said.className = "error";
    said.textContent = signal.aborted ? error.message : `It did not work: ${messageOf(error)}`;
  });
  return h("section", { "aria-label": video.title }, h("h3", {}, video.title), bar, h("div", { class: "row" }, said, stop));
}

async function becomesReady(video, signal) {
  const deadline = Date.now() + READY_WITHIN;
  while (Date.now() < deadline) {
    signal.throwIfAborted();
    const { videos } = await send("GET", "list-videos?limit=100");
    if (videos.some((one) => one.id === video.id)) return;
    await new Promise((done) => setTimeout(done, LOOK_AGAIN));
  }
  throw new Error("It takes unusually long.");
}
