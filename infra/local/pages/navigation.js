// The bar at the top: where one can go, as whoever is signed in.

import { h } from "./dom.js";
import { go } from "./router.js";
import { signOut, user } from "./session.js";

export function renderNavigation() {
  const who = user();
  const signOutHere = async (event) => {
    event.target.disabled = true;
    await signOut();
    await go("/");
  };
  const items = [
    ["/", "Films"],
    ["/plans", "Plans"],
    who?.role === "admin" && ["/admin", "Studio"],
    who ? ["/me", "Account"] : ["/sign-in", "Sign in"],
  ];
  document
    .getElementById("nav")
    .replaceChildren(
      ...items.filter(Boolean).map(([address, name]) => link(address, name)),
      who ? h("button", { class: "quiet", onclick: signOutHere }, "Sign out") : link("/join", "Join", "button"),
    );
}

function link(address, name, kind) {
  const here = location.pathname === address;
  return h("a", { href: address, class: kind, "aria-current": here && "page" }, name);
}
