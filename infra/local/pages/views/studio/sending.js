// A file on its way: how far it is.

import { h } from "../../dom.js";
import { messageOf } from "../../refusals.js";
import { upload } from "../../upload/upload.js";

/** Sends it, and shows that; `onSent()` is called when all of it has arrived. Ends when `leaving` does. */
export function sending({ video, upload: place }, file, leaving, onSent) {
  const stopping = new AbortController();
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of ${video.title}` });
  const said = h("p", { role: "status" }, "Uploading …");
  const stop = h("button", { class: "quiet", onclick: () => stopping.abort(new Error("Stopped.")) }, "Stop");
  const made = h(
    "section",
    { "aria-label": `Upload: ${video.title}` },
    h("h3", {}, video.title),
    bar,
    h("div", { class: "row" }, said, stop),
  );
  const onProgress = (fraction) => {
    bar.value = fraction;
  };
  upload(place, file, { signal: AbortSignal.any([stopping.signal, leaving]), onProgress }).then(
    () => {
      made.remove();
      onSent();
    },
    (error) => {
      bar.remove();
      stop.remove();
      said.className = "error";
      said.textContent = stopping.signal.aborted ? error.message : `It did not work: ${messageOf(error)}`;
    },
  );
  return made;
}
