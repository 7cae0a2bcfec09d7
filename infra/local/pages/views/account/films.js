// Films that were rented or bought by themselves, and until when.

import { h } from "../../dom.js";

export function films({ films: held }) {
  if (!held.length) return "";
  return h("section", {}, h("h2", {}, "Films"), h("ul", { class: "rows" }, ...held.map(film)));
}

function film({ video_id: id, title, until, first_played_at: begun }) {
  const day = until && new Date(until).toLocaleString();
  const terms = !until ? "Yours" : begun ? `Until ${day}` : `Begin by ${day}`;
  return h("li", {}, h("a", { href: `/watch/${id}` }, title), h("span", { class: "soft" }, terms));
}
