// Who is signed in, in all tabs of this browser.
//
// The access token lives in memory: a quarter of an hour, in each tab. The refresh token lives in localStorage, so that
// a reload, or a browser that is opened again, stays signed in. The price: a script that gets into this origin could take
// it. So none may get in (the Content-Security-Policy allows our own files only, nothing from the API is inserted as markup),
// a stolen token ends the login for both sides at its second use, and /me shows every login with a button to end it.
// A cookie that scripts cannot read would be safer; it needs a server of the application's own in front of the API.

import { Refusal, send } from "./api.js";

const STORE = "streamly.session";
const EARLY = 5_000;

let access = null; // {token, until}
const listeners = new Set();
const tabs = new BroadcastChannel("streamly");

const kept = () => JSON.parse(localStorage.getItem(STORE) ?? "null");

/** `{id, email, name, role}` of whoever is signed in, or null. */
export const user = () => kept()?.user ?? null;

/** Calls back whenever somebody signs in or out, here or in another tab. */
export const onSessionChange = (listener) => listeners.add(listener);

const tell = () => listeners.forEach((listener) => listener());

/** Takes what login, register or refresh answered. */
export function keep(answer) {
  const { access_token, expires_in, refresh_token } = answer;
  access = { token: access_token, until: Date.now() + expires_in * 1000 };
  localStorage.setItem(STORE, JSON.stringify({ refresh_token, user: answer.user }));
  // The other tabs need not refresh as well.
  tabs.postMessage(access);
  tell();
}

/** Takes a user that has changed. */
export function keepUser(changed) {
  localStorage.setItem(STORE, JSON.stringify({ ...kept(), user: changed }));
  tell();
}

/** Forgets the tokens. */
export function forget() {
  access = null;
  localStorage.removeItem(STORE);
  tell();
}

/** Ends this login at the server too; whatever it says, the tokens are forgotten. */
export async function signOut() {
  try {
    await call("POST", "logout", { body: {} });
  } catch (error) {
    console.warn("The login could not be ended at the server; it ends by itself.", error);
  }
  forget();
}

/** Nobody is signed in, or no longer. */
export class SignedOut extends Error {
  constructor() {
    super("You have been signed out. Please sign in again.");
    this.name = "SignedOut";
  }
}

const isFresh = (stale) => access && access.token !== stale && Date.now() < access.until - EARLY;

/**
 * A token that works. A refresh token is spent by its use and counts as stolen at the second, so one tab refreshes at a
 * time: the others wait for the lock and then find what it got.
 */
async function token(stale) {
  if (isFresh(stale)) return access.token;
  return navigator.locks.request("streamly-refresh", async () => {
    if (isFresh(stale)) return access.token;
    const { refresh_token } = kept() ?? {};
    if (!refresh_token) throw new SignedOut();
    try {
      // Where the answer is lost, the same token yields the same successor for ten seconds.
      keep(await send("POST", "refresh", { body: { refresh_token }, attempts: 3 }));
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 401) throw error;
      forget();
      throw new SignedOut();
    }
    return access.token;
  });
}

/** Calls the API as whoever is signed in; a token that has run out is renewed first, or after a 401. */
export async function call(method, path, options = {}) {
  const first = await token();
  try {
    return await send(method, path, { ...options, token: first });
  } catch (error) {
    if (error.code !== "invalid_token") throw error;
    return send(method, path, { ...options, token: await token(first) });
  }
}

/** As `call`, once, also while the page goes away: what is sent still arrives. Resolves when it has, or could not. */
export async function callOnLeaving(method, path, body) {
  if (!access) return;
  try {
    await send(method, path, { body, token: access.token, keepalive: true });
  } catch (error) {
    console.info("Not told on leaving:", error.message);
  }
}

tabs.addEventListener("message", ({ data }) => {
  access = data;
});
addEventListener("storage", ({ key, newValue }) => {
  if (key !== STORE && key !== null) return;
  if (!newValue) access = null;
  tell();
});
