import { h } from "../dom.js";

export const title = "Not found";

export function render(place) {
  place.append(
    h("h1", {}, "There is nothing here"),
    h("p", {}, "The address may be mistyped, or what was here is gone."),
    h("p", {}, h("a", { class: "button", href: "/" }, "To the films")),
  );
}
