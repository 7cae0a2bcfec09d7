// The films: search, pages, and a way into each.

import { send } from "../api.js";
import { h } from "../dom.js";
import { length } from "../format.js";
import { planFor, plans } from "../plans.js";
import { call, user } from "../session.js";

export const title = "Films";

const PAGE = 24;
const CONTINUED = 3;
const PAUSE = 250; // of somebody typing
const LOOK_AGAIN = 3_000;

export function render(place, { query }) {
  const list = h("ul", { class: "films" });
  const said = h("p", { class: "soft", role: "status" });
  const more = h("button", { class: "quiet", hidden: true }, "More films");
  const input = h("input", {
    type: "search",
    name: "q",
    value: query.get("q") ?? "",
    placeholder: "Search films",
    "aria-label": "Search films",
    autocomplete: "off",
    maxlength: 200,
  });
  const search = h("form", { role: "search", class: "search" }, input);
  const begun = h("section", { class: "begun", "aria-label": "Go on watching" });
  if (!user()) place.append(welcome());
  place.append(
    h("div", { class: "heading" }, h("h1", {}, "Films"), search),
    said,
    begun,
    list,
    h("p", { class: "row center" }, more),
  );

  let cursor = null;
  let turn = 0;
  let timer;

  async function load({ fresh }) {
    const mine = ++turn;
    const q = input.value.trim();
    begun.hidden = q !== "";
    const wanted = new URLSearchParams({ limit: PAGE, ...(q && { q }), ...(!fresh && { cursor }) });
    more.disabled = true;
    list.setAttribute("aria-busy", "true");
    if (fresh && !list.childElementCount) list.append(...Array.from({ length: 4 }, skeleton));
    try {
      const [answer, sold] = await Promise.all([ask(wanted), plans()]);
      if (mine !== turn) return;
      const cards = answer.videos.map((film) => card(film, sold));
      if (fresh) list.replaceChildren(...cards);
      else list.append(...cards);
      if (!fresh) cards[0]?.querySelector("a").focus();
      cursor = answer.next_cursor;
      more.hidden = !cursor;
      say(q, cards.length);
    } catch (error) {
      if (mine !== turn) return;
      list.replaceChildren();
      throw error;
    } finally {
      if (mine === turn) list.removeAttribute("aria-busy");
      more.disabled = false;
    }
  }

  function say(q, found) {
    const many = `${list.childElementCount}${cursor ? " or more" : ""}`;
    if (q) said.textContent = list.childElementCount ? `${many} found for “${q}”` : `Nothing found for “${q}”`;
    else if (!found) said.textContent = "No film is here yet. The sample film takes a few seconds to be made …";
    else said.textContent = "";
    // On a first start the sample film is on its way.
    if (!q && !found) timer = setTimeout(() => load({ fresh: true }).catch(failed), LOOK_AGAIN);
  }

  const failed = (error) => {
    said.textContent = `The films could not be loaded. ${error.message}`;
  };
  const look = () => {
    const address = input.value.trim() ? `/?${new URLSearchParams({ q: input.value.trim() })}` : "/";
    history.replaceState(null, "", address);
    return load({ fresh: true }).catch(failed);
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  });
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    look();
  });
  more.addEventListener("click", () => load({ fresh: false }).catch(failed));
  // A courtesy: the films are there without it.
  if (user() && !input.value)
    continueWatching(begun).catch((error) => console.warn("What was begun is not shown.", error));
  return load({ fresh: true }).then(() => () => {
    turn += 1;
    clearTimeout(timer);
  });
}

/** Whoever is signed in also hears how far they got. */
const ask = (query) => (user() ? call("GET", `list-videos?${query}`) : send("GET", `list-videos?${query}`));

async function continueWatching(place) {
  const [{ videos }, sold] = await Promise.all([
    ask(new URLSearchParams({ list: "continue", limit: CONTINUED })),
    plans(),
  ]);
  if (!videos.length) return;
  place.append(
    h("h2", {}, "Go on watching"),
    h("ul", { class: "films" }, ...videos.map((film) => card(film, sold))),
    h("h2", {}, "All films"),
  );
}

function welcome() {
  return h(
    "section",
    { class: "hero" },
    h("p", { class: "hero-title" }, "Good films, on every screen you have."),
    h("p", {}, "Pick a plan, cancel whenever you like, and go on watching where you stopped."),
    h(
      "p",
      { class: "row" },
      h("a", { class: "button", href: "/join" }, "Join Streamly"),
      h("a", { class: "button quiet", href: "/plans" }, "See the plans"),
    ),
  );
}

function card(film, sold) {
  const { id, description, duration } = film;
  const plan = planFor(sold, film.level);
  return h(
    "li",
    {},
    h(
      "a",
      { class: "film", href: `/watch/${id}` },
      h(
        "span",
        { class: "poster" },
        picture(film),
        film.position > 0 &&
          h("progress", { class: "watched", max: duration, value: film.position, "aria-label": "Watched" }),
        duration > 0 && h("span", { class: "badge length" }, length(duration)),
      ),
      h("span", { class: "film-title" }, film.title),
    ),
    h(
      "p",
      { class: "badges" },
      h("span", { class: "badge" }, film.free ? "Free" : (plan?.name ?? "Not in a plan")),
      film.series && h("span", { class: "badge" }, episode(film)),
      film.captions.length > 0 && h("span", { class: "badge" }, "Captions"),
    ),
    description && h("p", { class: "soft clamp" }, description),
  );
}

const episode = ({ series, season, episode: number }) =>
  [series, season !== null && `S${season}`, number !== null && `E${number}`].filter(Boolean).join(" ");

/** The film's picture; where there is none, its first letter. */
function picture(film) {
  const instead = h("span", { class: "no-picture", "aria-hidden": "true" }, film.title.trim().charAt(0));
  if (!film.thumbnail_url) return instead;
  const shown = h("img", { src: film.thumbnail_url, alt: "", loading: "lazy", width: 640, height: 360 });
  shown.addEventListener("error", () => shown.replaceWith(instead));
  return shown;
}

const skeleton = () => h("li", { class: "skeleton", "aria-hidden": "true" }, h("span", { class: "poster" }), h("span"));
