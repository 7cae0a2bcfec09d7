// A button that calls the API: once at a time, its failure shown beside it.

import { h } from "./dom.js";
import { messageOf } from "./refusals.js";

/** The button in a place of its own, with room for what went wrong. `act` is what a press does. */
export function press(text, act, properties = {}) {
  const alert = h("p", { class: "error", role: "alert", hidden: true });
  const button = h("button", properties, text);
  button.addEventListener("click", async () => {
    alert.hidden = true;
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      alert.textContent = messageOf(error);
      alert.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
  return h("div", { class: "press" }, button, alert);
}
