// Mux: chunks by PUT, with Mux's own component. A chunk that fails is sent again.

import { createUpload } from "../vendor/upchunk.mjs";

const CHUNK_KIB = 8 * 1024;

export function send(url, file, { onProgress, onDone, onError }) {
  const sending = createUpload({ endpoint: url, file, chunkSize: CHUNK_KIB });
  sending.on("progress", ({ detail }) => onProgress(detail / 100));
  sending.on("success", () => onDone());
  sending.on("error", ({ detail }) => onError(new Error(detail.message)));
  return () => sending.abort();
}
