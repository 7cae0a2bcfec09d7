// Elements in one expression. Texts are only ever inserted as text, so nothing from the API becomes markup.

/** `h("a", {href: "/", onclick}, "Home")`. Properties that are false, null or undefined are left out. */
export function h(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...present(children));
  return made;
}

/** The children that are there: `condition && h(…)` may stand in a list. */
function present(children) {
  return children.flat().filter((child) => child !== false && child !== null && child !== undefined);
}

let last = 0;

/** An id nobody else has, to tie a label or a description to its element. */
export const fresh = (name) => `${name}-${++last}`;
