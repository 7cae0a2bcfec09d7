// The whole story in one page, through the public API alone: account, plan, payment, film.
// Texts from the API are only ever inserted as text.

const HEARTBEAT_SECONDS = 30;
const REFUSALS = {
  subscription_required: "This film is part of a plan: choose one above.",
  plan_upgrade_required: "This film is part of a higher plan.",
};

const at = (id) => document.getElementById(id);

const session = {
  get: () => JSON.parse(sessionStorage.getItem("session") ?? "null"),
  set: (value) => sessionStorage.setItem("session", JSON.stringify(value)),
  end: () => sessionStorage.removeItem("session"),
};

class Refusal extends Error {
  constructor(status, problem) {
    const fields = (problem.errors ?? []).map((error) => `${error.field}: ${error.message}`);
    super([REFUSALS[problem.code] ?? problem.detail ?? problem.title ?? `Answer ${status}`, ...fields].join(" "));
    this.status = status;
    this.code = problem.code;
  }
}

async function send(method, path, body, token) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer);
  return answer;
}

let refreshing = null;

/** Calls the API as whoever is signed in; a token that has run out is renewed once. */
async function api(method, path, body) {
  const current = session.get();
  try {
    return await send(method, path, body, current?.access_token);
  } catch (error) {
    if (error.status !== 401 || !current?.refresh_token) throw error;
  }
  refreshing ??= send("POST", "/refresh", { refresh_token: current.refresh_token }).finally(() => {
    refreshing = null;
  });
  try {
    session.set({ ...current, ...(await refreshing) });
  } catch (error) {
    if (error.status === 401) {
      session.end();
      showAccount();
      throw new Error("You have been signed out: please sign in again.");
    }
    throw error;
  }
  return send(method, path, body, session.get().access_token);
}

function show(message) {
  const place = at("message");
  if (!place) return;
  place.textContent = message ?? "";
  place.hidden = !message;
  if (message) place.scrollIntoView({ block: "nearest" });
}

/** Runs what a button starts: once at a time, its failure shown. */
async function run(button, act) {
  show();
  button.disabled = true;
  try {
    await act();
  } catch (error) {
    show(error.message);
  } finally {
    button.disabled = false;
  }
}

function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}

const day = (time) => new Date(time).toLocaleDateString();

function money({ amount, currency, interval }) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  const digits = format.resolvedOptions().maximumFractionDigits;
  return `${format.format(amount / 10 ** digits)} a ${interval}`;
}

function describe(subscription, entitlement) {
  if (!subscription && !entitlement?.active) return "No plan yet.";
  const plan = entitlement?.plan ?? subscription?.plan ?? entitlement?.reason;
  if (!entitlement?.active) return `Plan ${plan}: ${subscription?.status ?? entitlement?.reason}.`;
  const until = subscription?.current_period_end ?? entitlement.until;
  const ends = subscription?.cancel_at_period_end ? "ends" : "paid until";
  return until ? `Plan ${plan}, ${ends} ${day(until)}.` : `Plan ${plan}.`;
}

async function showAccount() {
  const user = session.get()?.user;
  at("sign-in").hidden = Boolean(user);
  at("signed-in").hidden = !user;
  at("subscription").textContent = "";
  at("portal").hidden = true;
  if (!user) return;
  at("who").textContent = user.email;
  try {
    const account = await api("GET", "/account");
    at("subscription").textContent = describe(account.subscription, account.entitlement);
    at("portal").hidden = !account.subscription;
  } catch (error) {
    show(error.message);
  }
}

async function showPlans() {
  const { plans } = await send("GET", "/list-plans");
  at("plans").replaceChildren(
    ...plans.map((plan) => {
      const button = element("button", `Choose ${plan.name}`);
      button.addEventListener("click", () => run(button, () => choose(plan)));
      const card = element("li");
      card.append(
        element("h3", plan.name),
        element("span", money(plan.price), { className: "price" }),
        element("span", `${plan.streams} ${plan.streams === 1 ? "screen" : "screens"} at once`, { className: "soft" }),
        button,
      );
      return card;
    }),
  );
}

async function choose(plan) {
  if (!session.get()) throw new Error("Create an account or sign in first.");
  const { checkout_url } = await api("POST", "/create-checkout", { plan: plan.code });
  location.assign(checkout_url);
}

/** Lists the films; returns whether there is one. */
async function showFilms() {
  const { videos } = await api("GET", "/list-videos?limit=100");
  at("no-films").hidden = videos.length > 0;
  at("films").replaceChildren(
    ...videos.map((film) => {
      const button = element("button", "Play");
      button.setAttribute("aria-label", `Play ${film.title}`);
      button.addEventListener("click", () => run(button, () => play(film)));
      const card = element("li");
      if (film.thumbnail_url) card.append(element("img", undefined, { src: film.thumbnail_url, alt: "", loading: "lazy" }));
      const length = film.duration ? `${Math.round(film.duration)} s` : "";
      const level = film.free ? "free" : `level ${film.level}`;
      card.append(
        element("h3", film.title),
        element("span", [length, level].filter(Boolean).join(", "), { className: "soft" }),
        element("span", film.description ?? ""),
        button,
      );
      return card;
    }),
  );
  return videos.length > 0;
}

let playing = null;

async function play(film) {
  if (!session.get()) throw new Error("Create an account or sign in first.");
  const playback = await api("GET", `/get-playback?video_id=${encodeURIComponent(film.id)}`);
  await stop();
  const video = at("video");
  at("playing").textContent = film.title;
  at("player-note").textContent = "";
  at("player").hidden = false;
  const hls = await attach(video, playback.playback_url);
  const timer = setInterval(beat, HEARTBEAT_SECONDS * 1000);
  playing = { id: playback.session_id, hls, timer };
  if (playback.position) video.currentTime = playback.position;
  at("player").scrollIntoView({ block: "start" });
  // Where the browser wants another click first, the controls are there.
  await video.play().catch((error) => (at("player-note").textContent = `Press play (${error.name}).`));
}

/** Safari plays HLS itself; for the others there is hls.js. */
async function attach(video, url) {
  await import("/pages/hls.light.min.js");
  const { Hls } = window;
  if (!Hls?.isSupported()) {
    video.src = url;
    return null;
  }
  const hls = new Hls({ enableWorker: false });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal) at("player-note").textContent = `It cannot go on (${data.details}).`;
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return hls;
}

/** Says that somebody is still watching, and hears whether they still may. */
async function beat() {
  if (!playing) return;
  const body = { session_id: playing.id, position: at("video").currentTime };
  try {
    await api("POST", "/heartbeat", body);
  } catch (error) {
    // Access has ended, or another screen has taken the place.
    if (![402, 403, 404, 429].includes(error.status)) return;
    await stop();
    show(error.message);
  }
}

async function stop() {
  if (!playing) return;
  const { id, hls, timer } = playing;
  const video = at("video");
  const position = video.currentTime;
  playing = null;
  clearInterval(timer);
  video.pause();
  hls?.destroy();
  video.removeAttribute("src");
  video.load();
  at("player").hidden = true;
  // A courtesy: without it the place is freed a little later.
  await api("POST", "/heartbeat", { session_id: id, position, stop: true }).catch(() => undefined);
}

async function signIn(how, form) {
  const { email, password } = Object.fromEntries(form);
  session.set(await send("POST", `/${how}`, { email, password }));
  await showAccount();
}

async function signOut() {
  await stop();
  // Whatever the server says, this page forgets the tokens.
  await api("POST", "/logout", {}).catch(() => undefined);
  session.end();
  await showAccount();
}

async function home() {
  at("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter;
    run(button, () => signIn(button.value, new FormData(event.target)));
  });
  at("sign-out").addEventListener("click", (event) => run(event.target, signOut));
  at("close").addEventListener("click", (event) => run(event.target, stop));
  at("portal").addEventListener("click", (event) =>
    run(event.target, async () => location.assign((await api("POST", "/create-portal", {})).portal_url)),
  );
  const results = await Promise.allSettled([showAccount(), showPlans(), showFilms()]);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) show(failed.reason.message);
  // The sample film may be on its way: look again for two minutes.
  for (let round = 0; round < 40 && at("films").childElementCount === 0; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await showFilms().catch(() => undefined);
  }
}

async function success() {
  const result = at("result");
  const id = new URLSearchParams(location.search).get("session_id");
  if (!id || !session.get()) {
    result.textContent = "Sign in on the first page to see your plan.";
    return;
  }
  try {
    const { subscription, entitlement } = await api("POST", "/confirm-checkout", { session_id: id });
    result.textContent = describe(subscription, entitlement);
  } catch (error) {
    result.textContent = error.message;
  }
}

if (document.body.dataset.page === "home") await home();
if (document.body.dataset.page === "checkout-success") await success();
