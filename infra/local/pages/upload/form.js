// Cloudflare Stream, files that fit into 200 MB with the form around them: one form. XMLHttpRequest, because fetch tells no progress of what it sends.

export function send(url, file, { onProgress, onDone, onError }) {
  const body = new FormData();
  body.append("file", file);
  const request = new XMLHttpRequest();
  request.open("POST", url);
  request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(loaded / total));
  request.addEventListener("load", () => {
    if (request.status >= 200 && request.status < 300) onDone();
    else onError(new Error(`The upload was answered ${request.status}.`));
  });
  request.addEventListener("error", () => onError(new Error("The connection broke off.")));
  request.send(body);
  return () => request.abort();
}
