// A film in a video element. hls.js plays it wherever the browser has Media Source Extensions; an older iPhone plays HLS
// by itself.

import Hls from "../vendor/hls.min.mjs";
import { Renewal } from "./renewal.js";

// Whoever leaves after two minutes has not paid for ten minutes of data, and what is loaded does not outlive access by much.
const BUFFER_SECONDS = 60;

export class Player {
  #video;
  #hls = null;
  #renewal = null;
  #onLost;
  #recovered = false;

  /** `onLost(reason)` is called when the film cannot go on; `load` may then be called again. */
  constructor(video, onLost) {
    this.#video = video;
    this.#onLost = onLost;
    video.addEventListener("error", this.#failed);
  }

  /** Shows the film from `position` (seconds) on. */
  load(url, position = 0) {
    this.#end();
    const video = this.#video;
    if (!Hls.isSupported()) {
      const seek = () => (video.currentTime = position);
      if (position > 0) video.addEventListener("loadedmetadata", seek, { once: true });
      video.src = url;
      return;
    }
    this.#renewal = new Renewal();
    this.#hls = new Hls({
      loader: this.#renewal.loader(Hls.DefaultConfig.loader),
      maxMaxBufferLength: BUFFER_SECONDS,
      startPosition: position > 0 ? position : -1,
      enableWorker: false, // its worker is a blob, which the Content-Security-Policy refuses
    });
    this.#hls.on(Hls.Events.ERROR, (_, data) => {
      // A signature that has died does not come back, though hls.js would try for half a minute.
      const dead = data.response?.code === 403;
      if (!data.fatal && !dead) return;
      if (data.type === Hls.ErrorTypes.MEDIA_ERROR && !this.#recovered) {
        this.#recovered = true;
        this.#hls.recoverMediaError();
      } else {
        this.#onLost(data.details);
        this.#end();
      }
    });
    this.#hls.loadSource(url);
    this.#hls.attachMedia(video);
  }

  /** Goes on under a URL signed anew, without a pause. */
  async renew(url) {
    // A browser that plays by itself has fetched what it needs under the old one; if that dies, `onLost` tells.
    await this.#renewal?.renew(url);
  }

  #failed = () => {
    if (!this.#hls && this.#video.error) this.#onLost(`media error ${this.#video.error.code}`);
  };

  #end() {
    this.#hls?.destroy();
    this.#hls = null;
  }

  /** Takes the film away; another may follow. */
  unload() {
    this.#end();
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  destroy() {
    this.#video.removeEventListener("error", this.#failed);
    this.unload();
  }
}
