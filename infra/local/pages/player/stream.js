// A place among the films an account plays at once: opened, kept while somebody watches, renewed, given back.

import { serverNow } from "../api.js";
import { call, callOnLeaving, SignedOut } from "../session.js";

const BEAT_SECONDS = 30;
const AGAIN_SECONDS = 5;
const SOONEST_SECONDS = 1;
// A film left paused gives its place back; it is asked for again when somebody goes on.
const PAUSE_MINUTES = 10;
const MOVED = ["timeupdate", "seeking"];
// After these the film stops. Anything else is ours to wait out.
const REFUSED = new Set([402, 403, 404, 409, 429]);

/** What get-playback answers; `takeover` is the playback session of another screen to end first. */
export function openPlayback(videoId, takeover) {
  const query = new URLSearchParams({ video_id: videoId });
  if (takeover) query.set("takeover", takeover);
  return call("GET", `get-playback?${query}`);
}

export class Stream {
  #playback;
  #video;
  #onRenewed;
  #onRefused;
  #position;
  #timer;
  #over = false;
  #pausedAt = null;

  /**
   * `position` is how far one had got (seconds), and still is until the film is there; `onRenewed(url)` takes a URL signed
   * anew, and throws where it cannot be used yet; `onRefused(error)` is called once, when access has ended or another
   * screen has taken the place.
   */
  constructor(playback, video, { position, onRenewed, onRefused }) {
    this.#playback = playback;
    this.#video = video;
    this.#position = position;
    this.#onRenewed = onRenewed;
    this.#onRefused = onRefused;
    for (const event of MOVED) video.addEventListener(event, this.#moved);
    video.addEventListener("pause", this.#paused);
    video.addEventListener("play", this.#resumed);
    addEventListener("pagehide", this.#leaving);
    addEventListener("pageshow", this.#back);
    this.#schedule(BEAT_SECONDS);
  }

  get #body() {
    this.#moved();
    return { session_id: this.#playback.session_id, position: this.#position };
  }

  #schedule(seconds) {
    clearTimeout(this.#timer);
    const due = (Date.parse(this.#playback.refresh_after) - serverNow()) / 1000;
    const wait = Math.max(Math.min(seconds, due), seconds === AGAIN_SECONDS ? AGAIN_SECONDS : SOONEST_SECONDS);
    this.#timer = setTimeout(() => this.#beat(), wait * 1000);
  }

  async #beat() {
    if (this.#pausedAt && Date.now() - this.#pausedAt > PAUSE_MINUTES * 60_000) return;
    let next = BEAT_SECONDS;
    try {
      const answer = await call("POST", "heartbeat", { body: this.#body });
      if (this.#over) return;
      if (serverNow() >= Date.parse(this.#playback.refresh_after)) {
        await this.#onRenewed(answer.playback_url);
        this.#playback = answer;
      }
    } catch (error) {
      if (this.#over) return;
      if (REFUSED.has(error.status) || error instanceof SignedOut) {
        this.drop();
        this.#onRefused(error);
        return;
      }
      // The URL lasts a while yet: a fifth of its life is kept for this.
      console.warn("No heartbeat; trying again.", error);
      next = AGAIN_SECONDS;
    }
    this.#schedule(next);
  }

  // While nothing is loaded the element's time is 0, which is nobody's place.
  #moved = () => {
    const { seeking, readyState, currentTime } = this.#video;
    if (seeking || readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) this.#position = currentTime;
  };

  #paused = () => {
    this.#pausedAt = Date.now();
  };

  #resumed = () => {
    const silent = this.#pausedAt && Date.now() - this.#pausedAt > PAUSE_MINUTES * 60_000;
    this.#pausedAt = null;
    if (silent) this.#beat();
  };

  #leaving = () => callOnLeaving("POST", "heartbeat", { ...this.#body, stop: true });

  // The browser kept the page whole and shows it again: the place was given back meanwhile.
  #back = ({ persisted }) => {
    if (persisted) location.reload();
  };

  /** Ends without telling: another takes its place. */
  drop() {
    this.#over = true;
    clearTimeout(this.#timer);
    for (const event of MOVED) this.#video.removeEventListener(event, this.#moved);
    this.#video.removeEventListener("pause", this.#paused);
    this.#video.removeEventListener("play", this.#resumed);
    removeEventListener("pagehide", this.#leaving);
    removeEventListener("pageshow", this.#back);
  }

  /** Gives the place back and keeps the position; resolves when that is done. Without it the place is freed a little later. */
  async stop() {
    if (this.#over) return;
    const told = this.#leaving();
    this.drop();
    await told;
  }
}
