// All films there are, newest first, whatever has become of them.

import { h } from "../../dom.js";
import { press } from "../../press.js";
import { call } from "../../session.js";
import { filmRow } from "./film.js";

const PAGE = 24;
const LOOK_AGAIN = 1_500;

/** The list, and a way to add a film to it. Looks after films in the making until `leaving` aborts. */
export async function films(sold, leaving) {
  const list = h("ul", { class: "rows" });
  const empty = h("p", { class: "soft" }, "No film yet.");
  const more = press("More films", () => load(), { class: "quiet" });
  let cursor = null;
  await load();
  empty.hidden = list.childElementCount > 0;

  async function load() {
    const wanted = new URLSearchParams({ limit: PAGE, ...(cursor && { cursor }) });
    const { videos, next_cursor } = await call("GET", `manage-video?${wanted}`);
    // One that was added here meanwhile is there already.
    list.append(...videos.filter(({ id }) => !shown(id)).map(row));
    cursor = next_cursor;
    more.hidden = !cursor;
  }

  function shown(id) {
    return [...list.children].find((item) => item.dataset.id === id);
  }

  function row(video) {
    const made = filmRow(video, sold, {
      onChanged: (changed) => made.replaceWith(row({ ...video, ...changed })),
      onDeleted: () => made.remove(),
    });
    made.dataset.id = video.id;
    if (["waiting", "processing"].includes(video.status)) follow(video, made);
    return made;
  }

  async function follow(video, item) {
    await new Promise((done) => setTimeout(done, LOOK_AGAIN));
    if (leaving.aborted || !item.isConnected) return;
    const now = await look(video.id).catch(() => video);
    if (!item.isConnected) return;
    if (now) item.replaceWith(row(now));
    else item.remove();
  }

  return {
    section: h(
      "section",
      { "aria-labelledby": "films" },
      h("h2", { id: "films" }, "Films"),
      list,
      empty,
      h("p", { class: "row center" }, more),
    ),
    add: (video) => {
      empty.hidden = true;
      shown(video.id)?.remove();
      list.prepend(row(video));
    },
  };
}

/** What is known of a film now; null where it is gone. */
async function look(id) {
  try {
    return (await call("GET", `manage-video?video_id=${id}`)).video;
  } catch (error) {
    if (error.code === "video_not_found") return null;
    throw error;
  }
}
