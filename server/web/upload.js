/** Sends a form like `fetch` does, and tells how far that has come, which `fetch` cannot. */

/**
 * Return the response to a request with a form. `onSent` is called with the part of the body that
 * has left, from 0 to 1. Throws TypeError if there is no answer, as `fetch` does.
 */
export function sendForm(path, { method, headers, body }, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded, total }) => onSent(loaded / total));
    request.addEventListener("load", () => resolve(asResponse(request)));
    request.addEventListener("error", () => reject(new TypeError("the request has failed")));
    request.send(body);
  });
}

function asResponse(request) {
  const lines = request.getAllResponseHeaders().trim().split(/\r?\n/);
  const headers = lines.map((line) => [line.split(":", 1)[0], line.replace(/^[^:]*: ?/, "")]);
  return new Response(request.response, { status: request.status, headers });
}
