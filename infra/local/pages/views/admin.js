// The studio: a film's file goes up, becomes something to watch, and is looked after.

import { h } from "../dom.js";
import { plans } from "../plans.js";
import { go, signIn } from "../router.js";
import { user } from "../session.js";
import { announce } from "./studio/announce.js";
import { films } from "./studio/films.js";
import { sending } from "./studio/sending.js";

export const title = "Studio";

export async function render(place) {
  if (user()?.role !== "admin") return go(signIn(), { replace: true });
  const leaving = new AbortController();
  const sold = await plans();
  const { section, add } = await films(sold, leaving.signal);
  const sendings = h("div", {});
  const onAnnounced = (answer, file) =>
    sendings.prepend(sending(answer, file, leaving.signal, () => add({ ...answer.video, status: "processing" })));
  place.append(
    h("h1", {}, "Studio"),
    h("div", { class: "studio" }, announce(sold, onAnnounced), h("div", {}, sendings, section)),
  );
  return () => leaving.abort(new Error("Left."));
}
