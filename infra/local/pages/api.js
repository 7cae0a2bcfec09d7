// One call of the API: JSON out and in, refusals as errors that carry their code.

const BASE = document.querySelector('meta[name="api"]').content;
const TIMEOUT = 30_000;
const LONGEST_WAIT = 10;

/** What the API said no to; decide by `code`. `fields` is field name → message, `problem` the whole answer. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The answer was ${status}`);
    this.name = "Refusal";
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.problem = problem;
    this.fields = Object.fromEntries((problem.errors ?? []).map(({ field, message }) => [field, message]));
  }
}

/** Nothing came back: no network, or it took too long. */
export class Unreachable extends Error {
  constructor(cause) {
    super("Streamly cannot be reached right now.", { cause });
    this.name = "Unreachable";
  }
}

let ahead = 0;

/** The server's time in milliseconds: expiries are told in it, and clocks of devices are wrong. */
export const serverNow = () => Date.now() + ahead;

/**
 * Calls one function.
 *
 * `attempts`: how often in all, while the answer is 503 or there is none. Only for what may be repeated: reading, a
 * refresh token within its ten seconds, or a call with an idempotency key.
 */
export async function send(method, path, { body, token, key, attempts = method === "GET" ? 3 : 1, keepalive } = {}) {
  for (let left = attempts; ; left -= 1) {
    try {
      return await sendOnce(method, path, { body, token, key, keepalive });
    } catch (error) {
      const again = error instanceof Unreachable || error.status === 503;
      if (!again || left <= 1) throw error;
      await new Promise((done) => setTimeout(done, Math.min(error.wait ?? 1, LONGEST_WAIT) * 1000));
    }
  }
}

async function sendOnce(method, path, { body, token, key, keepalive }) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (key) headers["Idempotency-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  let found;
  try {
    answer = await fetch(`${BASE}/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      keepalive,
      signal: AbortSignal.timeout(TIMEOUT),
    });
    found = answer.status === 204 ? null : await answer.json();
  } catch (error) {
    throw new Unreachable(error);
  }
  // Other origins cannot read it: there the device's own clock has to do.
  const told = Date.parse(answer.headers.get("Date"));
  if (told) ahead = told - Date.now();
  if (answer.ok) return found;
  const refusal = new Refusal(answer.status, found ?? {});
  refusal.wait = Number(answer.headers.get("Retry-After")) || undefined;
  throw refusal;
}
