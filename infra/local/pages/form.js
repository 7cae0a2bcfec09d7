// A form that sends: fields with labels, one submission at a time, refusals shown where they belong.

import { fresh, h } from "./dom.js";
import { messageOf } from "./refusals.js";

/** A labelled field; `note` explains it below. Other properties go to the input. */
export function field(label, { name, note, as = "input", ...properties }) {
  const id = fresh(name);
  const describedBy = [note && `${id}-note`, `${id}-error`].filter(Boolean).join(" ");
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h(as, { id, name, "aria-describedby": describedBy, ...properties }),
    note && h("p", { id: `${id}-note`, class: "soft" }, note),
    h("p", { id: `${id}-error`, class: "error", hidden: true }),
  );
}

/**
 * `send` is given the fields' values; what it throws is shown. `fieldOf` names the field a refusal's code is about,
 * `kind` is the button's class. `parts` are fields and whatever else stands before the button.
 */
export function form({ submit, kind, send, fieldOf = {} }, ...parts) {
  const alert = h("p", { class: "error", role: "alert", hidden: true });
  const button = h("button", { class: kind }, submit);
  const made = h("form", { novalidate: true }, ...parts, alert, h("div", { class: "row" }, button));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear(made, alert);
    const wrong = [...made.elements].find((element) => !element.checkValidity());
    if (wrong) return markFields(made, { [wrong.name]: wrong.validationMessage });
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      await send(Object.fromEntries(new FormData(made)), made);
    } catch (error) {
      const about = fieldOf[error.code];
      const fields = about ? { [about]: messageOf(error) } : (error.fields ?? {});
      if (!markFields(made, fields)) show(alert, messageOf(error));
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
  return made;
}

function show(place, text) {
  place.textContent = text;
  place.hidden = !text;
}

function clear(made, alert) {
  show(alert, "");
  for (const input of made.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    show(document.getElementById(`${input.id}-error`), "");
  }
}

/** Marks fields as wrong and goes to the first; whether all of them are in this form. */
function markFields(made, fields) {
  const marked = Object.entries(fields).filter(([name]) => made.elements[name]?.id);
  for (const [name, text] of marked) {
    made.elements[name].setAttribute("aria-invalid", "true");
    show(document.getElementById(`${made.elements[name].id}-error`), text);
  }
  if (marked.length) made.elements[marked[0][0]].focus();
  return marked.length > 0 && marked.length === Object.keys(fields).length;
}
