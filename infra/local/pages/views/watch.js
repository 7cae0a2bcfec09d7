// A film: asked for, played, and whatever may come between.

import { send } from "../api.js";
import { h } from "../dom.js";
import { clock } from "../format.js";
import { Player } from "../player/player.js";
import { openPlayback, Stream } from "../player/stream.js";
import { go, signIn } from "../router.js";
import { SignedOut, user } from "../session.js";
import { refusalPanel } from "./watch-refusals.js";

export const title = "Watch";

// A film that cannot go on is asked for anew, unless that did not help twice within a minute.
const RELOADS = 2;
const RELOADS_WITHIN = 60_000;
const NOT_READY_AGAIN = 4_000;
const LEAVING = 1_000;
// Seconds. Nearer to its end than this, a film begins from the start again.
const CREDITS = 5;

export async function render(place, { params }) {
  const film = await about(params.id);
  document.title = `${film.title} – Streamly`;
  const video = h("video", { controls: true, playsinline: true, preload: "auto", "aria-label": film.title });
  const stage = h("div", { class: "stage" }, video);
  const note = h("p", { class: "soft", role: "status" });
  place.append(
    h("p", {}, h("a", { href: "/" }, "← All films")),
    stage,
    note,
    h("h1", {}, film.title),
    film.description ? h("p", { class: "description" }, film.description) : "",
    film.trailer_id ? h("p", {}, h("a", { href: `/watch/${film.trailer_id}` }, "Watch the trailer")) : "",
  );

  let stream = null;
  let left = false;
  let timer;
  const reloads = [];
  const player = new Player(video, lost);

  async function open({ takeover, position } = {}) {
    clearTimeout(timer);
    stage.replaceChildren(video);
    note.textContent = "";
    stage.setAttribute("aria-busy", "true");
    try {
      const playback = await openPlayback(params.id, takeover);
      if (left) return;
      begin(playback, position ?? playback.position);
    } catch (error) {
      if (!left) refuse(error);
    } finally {
      stage.removeAttribute("aria-busy");
    }
  }

  function begin(playback, last) {
    // Asked again, the same login gets the same session: what is dropped here must not be told to have stopped.
    stream?.drop();
    video.onended = null;
    const position = last < film.duration - CREDITS ? last : 0;
    const told = { onRenewed: (url) => player.renew(url), onRefused: refuse };
    stream = new Stream(playback, video, { position: last, ...told });
    video.poster = playback.thumbnail_url;
    player.load(playback.playback_url, position);
    if (position > 0) resumed(position);
    // Where the browser wants a click first, the controls are there.
    video.play().catch((error) => console.info("Not started by itself:", error.name));
  }

  function resumed(position) {
    const restart = h("button", { class: "link" }, "From the beginning");
    restart.addEventListener("click", () => {
      video.currentTime = 0;
      note.replaceChildren();
      video.focus();
    });
    note.replaceChildren(`You were at ${clock(position)}. `, restart);
  }

  /** The player gave up: an expired signature after a long sleep, or a network that was gone. */
  function lost(reason) {
    console.warn("The film cannot go on:", reason);
    const now = Date.now();
    while (reloads.length && now - reloads[0] > RELOADS_WITHIN) reloads.shift();
    reloads.push(now);
    if (reloads.length <= RELOADS) return open({ position: video.currentTime || undefined });
    stream?.stop();
    refuse({ code: "stopped", message: "The film cannot be loaded right now." });
  }

  function refuse(error) {
    const position = video.currentTime || undefined;
    video.onended = null;
    stream = null;
    player.unload();
    if (document.fullscreenElement) document.exitFullscreen();
    if (error instanceof SignedOut) return go(signIn(), { replace: true });
    const again = (takeover) => open({ takeover, position });
    stage.replaceChildren(refusalPanel(error, film, { again, preview: () => preview(error) }));
    stage.querySelector("h2").focus();
    if (error.code === "video_not_ready") timer = setTimeout(open, NOT_READY_AGAIN);
  }

  /** The beginning, which anybody may watch; then why there is no more. */
  function preview(error) {
    stage.replaceChildren(video);
    player.load(film.preview_url);
    video.onended = () => refuse(error);
    return video.play();
  }

  if (user()) await open();
  else refuse({ code: "signed_out" });
  return async () => {
    left = true;
    clearTimeout(timer);
    const told = stream?.stop();
    player.destroy();
    // So that the next view knows how far one got; it does not wait long for that.
    await Promise.race([told, new Promise((done) => setTimeout(done, LEAVING))]);
  };
}

/** What is known of the film; of one that viewers cannot see, next to nothing. */
async function about(id) {
  const { videos } = await send("GET", `list-videos?${new URLSearchParams({ video_id: id })}`);
  return videos[0] ?? { id, title: "Film", duration: Infinity };
}
