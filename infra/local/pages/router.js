// Addresses and views. A view is a module with a `title` and `render(place, {params, query})`, which may return
// what is to be done when the view is left.

import { h } from "./dom.js";
import { messageOf } from "./refusals.js";
import { SignedOut } from "./session.js";

const routes = [];
let leave = () => undefined;
let arrived = () => undefined;
let turn = 0;

/** `pattern` like `/watch/:id`; `load` gives the view's module. */
export function route(pattern, load) {
  routes.push({ parts: pattern.split("/"), load });
}

/** A part of an address as it was meant; null where it is no good (`%` alone). */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

function find(path) {
  const asked = path.replace(/(.)\/$/, "$1").split("/");
  for (const { parts, load } of routes) {
    const params = {};
    const fits =
      parts.length === asked.length &&
      parts.every((part, index) => {
        if (!part.startsWith(":")) return part === asked[index];
        params[part.slice(1)] = decoded(asked[index]);
        return Boolean(params[part.slice(1)]);
      });
    if (fits) return { load, params };
  }
  return null;
}

async function show({ focus }) {
  const mine = ++turn;
  const before = leave;
  leave = () => undefined;
  await before();
  const main = document.getElementById("main");
  const place = h("div", { class: "view" });
  main.replaceChildren(place);
  const found = find(location.pathname) ?? { load: () => import("./views/not-found.js"), params: {} };
  try {
    const view = await found.load();
    if (mine !== turn) return;
    document.title = `${view.title} – Streamly`;
    arrived();
    // Whoever cannot see the page hears that it has changed.
    if (focus) main.focus({ preventScroll: true });
    const left = await view.render(place, { params: found.params, query: new URLSearchParams(location.search) });
    if (mine === turn) leave = left ?? leave;
    else await left?.();
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof SignedOut) return go(signIn(), { replace: true });
    console.error(error);
    place.replaceChildren(
      h("h1", {}, "That did not work"),
      h("p", { class: "error", role: "alert" }, messageOf(error)),
      h("button", { onclick: () => show({ focus: true }) }, "Try again"),
    );
  }
}

/** Goes to an address of this client. */
export async function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  scrollTo(0, 0);
  await show({ focus: true });
}

const here = () => `next=${encodeURIComponent(location.pathname + location.search)}`;

/** The token a mail's link carries, taken out of the address bar and the history: whoever has it may use it. */
export function takeToken(query) {
  const token = query.get("token");
  if (token) history.replaceState(null, "", location.pathname);
  return token;
}

/** The address to sign in at and come back here. */
export const signIn = () => `/sign-in?${here()}`;

/** The same, to make an account first. */
export const join = () => `/join?${here()}`;

/** Where to go on after signing in: only within this client, whatever the address says. */
export function next(query) {
  let url;
  try {
    url = new URL(query.get("next") ?? "/", location.origin);
  } catch {
    return "/";
  }
  // `/.//elsewhere` is ours, but its path alone would name another host.
  return url.origin === location.origin && !url.pathname.startsWith("//") ? url.pathname + url.search : "/";
}

function followLink(event) {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
  // The API's pages and the sandbox are no views, and a jump within the page is the browser's.
  if (!find(link.pathname)) return;
  if (link.pathname === location.pathname && link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

/** Shows where the browser is; `onArrival` is called whenever a view begins. */
export async function start(onArrival) {
  arrived = onArrival;
  document.addEventListener("click", followLink);
  addEventListener("popstate", () => show({ focus: true }));
  await show({ focus: false });
}
