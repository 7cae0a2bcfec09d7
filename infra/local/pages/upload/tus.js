// Cloudflare Stream, large files: tus, which goes on where it broke off. The place is made already, so it is only filled.

import "../vendor/tus.min.js";

const CHUNK_BYTES = 50 * 1024 * 1024; // Cloudflare takes 5 to 200 MiB, in multiples of 256 KiB

export function send(url, file, { onProgress, onDone, onError }) {
  const sending = new globalThis.tus.Upload(file, {
    uploadUrl: url,
    chunkSize: CHUNK_BYTES,
    retryDelays: [0, 1000, 3000, 5000, 10_000],
    storeFingerprintForResuming: false,
    onProgress: (sent, total) => onProgress(sent / total),
    onSuccess: () => onDone(),
    onError,
  });
  sending.start();
  return () => sending.abort();
}
