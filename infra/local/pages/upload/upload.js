// Sends a file to where upload-asset says, in the protocol it says. None of these gets our token: the URL is the right.

const SENDERS = {
  put: () => import("./put.js"),
  tus: () => import("./tus.js"),
  form: () => import("./form.js"),
};

/**
 * Resolves when every byte has arrived. `onProgress(fraction)` is called on the way.
 *
 * Aborting `signal` ends it: the promise is then rejected with the signal's reason.
 */
export async function upload(place, file, { onProgress, signal }) {
  const load = SENDERS[place.protocol];
  if (!load) throw new Error(`This page cannot upload by ${place.protocol}.`);
  const { send } = await load();
  signal.throwIfAborted();
  await new Promise((resolve, reject) => {
    const stop = send(place.url, file, { onProgress, onDone: resolve, onError: reject });
    signal.addEventListener("abort", () => {
      stop();
      reject(signal.reason);
    });
  });
}
