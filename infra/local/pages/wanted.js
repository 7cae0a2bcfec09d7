// The film somebody was on their way to when they went to pay, for this tab to come back to.

const STORE = "streamly.wanted";

/** `bought`: the film by itself, and not a plan. */
export const want = ({ id, title }, { bought = false } = {}) =>
  sessionStorage.setItem(STORE, JSON.stringify({ id, title, bought }));

/** `{id, title, bought}`, once; null where there is none. */
export function takeWanted() {
  const wanted = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
  sessionStorage.removeItem(STORE);
  return wanted;
}
