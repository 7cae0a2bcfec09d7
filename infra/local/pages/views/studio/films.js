// The films one can manage: those everybody sees, and those this browser has announced, whatever has become of them.

import { call } from "../../session.js";
import { h } from "../../dom.js";
import { filmRow } from "./film.js";

const KEPT = "streamly.studio";
const MOST_KEPT = 50;
const LOOK_AGAIN = 1_500;

const announced = () => JSON.parse(localStorage.getItem(KEPT) ?? "[]");

/** Remembers a film that is in no list yet. */
function remember(id) {
  localStorage.setItem(KEPT, JSON.stringify([id, ...announced()].slice(0, MOST_KEPT)));
}

/** The list, and a way to add a film to it. Looks after films in the making until `leaving` aborts. */
export async function films(sold, leaving) {
  const list = h("ul", { class: "rows" });
  const empty = h("p", { class: "soft" }, "No film yet.");
  const { videos } = await call("GET", "list-videos?limit=50");
  const others = announced().filter((id) => !videos.some((video) => video.id === id));
  const mine = await Promise.all(others.map(look));
  const all = [...mine.filter(Boolean), ...videos.map((video) => ({ ...video, status: "ready", published: true }))];
  for (const video of all) list.append(row(video));
  empty.hidden = all.length > 0;

  function row(video) {
    const made = filmRow(video, sold, {
      onChanged: (changed) => made.replaceWith(row({ ...video, ...changed })),
      onDeleted: () => made.remove(),
    });
    if (["waiting", "processing"].includes(video.status)) follow(video, made);
    return made;
  }

  async function follow(video, shown) {
    await new Promise((done) => setTimeout(done, LOOK_AGAIN));
    if (leaving.aborted || !shown.isConnected) return;
    const now = await look(video.id).catch(() => video);
    if (now) shown.replaceWith(row(now));
    else shown.remove();
  }

  return {
    section: h("section", { "aria-labelledby": "films" }, h("h2", { id: "films" }, "Films"), list, empty),
    add: (video) => {
      remember(video.id);
      empty.hidden = true;
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
