// New signatures for a film that is playing, without the player noticing.
//
// The addresses in a playlist are signed for as long as the token it was fetched with. A player fetches the playlists of a
// film once, so after a renewal it would go on with addresses that die. Loading the film anew would empty its buffer and
// stop the picture. Instead its loader keeps asking for the addresses it knows, and each is exchanged on the way out:
// `renew` fetches the playlists again under the new URL and pairs old and new addresses by their place.

/** Every address in a playlist, in order. */
function addresses(text, base) {
  const found = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) found.push(...[...line.matchAll(/\bURI="([^"]+)"/g)].map((match) => match[1]));
    else if (line.trim()) found.push(line.trim());
  }
  return found.map((address) => new URL(address, base).href);
}

export class Renewal {
  #playlists = new Map(); // address the player knows → the addresses in it
  #today = new Map(); // address the player knows → the one that works now

  /** `Base`, made to ask for what works now. Give it to hls.js as its `loader`. */
  loader(Base) {
    const renewal = this;
    return class extends Base {
      load(context, config, callbacks) {
        const known = context.url;
        const onSuccess = (response, ...rest) => {
          renewal.#note(known, response);
          callbacks.onSuccess(response, ...rest);
        };
        super.load({ ...context, url: renewal.#now(known) }, config, { ...callbacks, onSuccess });
      }
    };
  }

  #now(known) {
    return this.#today.get(known) ?? known;
  }

  #note(known, { url, data }) {
    if (typeof data === "string" && data.startsWith("#EXTM3U"))
      this.#playlists.set(known, addresses(data, url || known));
  }

  /**
   * From now on everything is asked for as signed behind `url`.
   *
   * Throws if the film cannot be fetched under it, or is another one; then nothing has changed.
   */
  async renew(url) {
    const [first] = this.#playlists.keys();
    const today = new Map(this.#today).set(first, url);
    // The first playlist names the others, so each is renewed before it is read.
    for (const [known, before] of this.#playlists) {
      const address = today.get(known) ?? known;
      const answer = await fetch(address, { signal: AbortSignal.timeout(15_000) });
      if (!answer.ok) throw new Error(`The playlist answered ${answer.status}`);
      const after = addresses(await answer.text(), answer.url);
      if (after.length !== before.length) throw new Error("The playlist is no longer the same");
      before.forEach((old, index) => today.set(old, after[index]));
    }
    this.#today = today;
  }
}
