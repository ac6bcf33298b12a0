/** Pictures, clips and downloads; where a key is set they are fetched, as elements send no header. */

import { apiKey, send } from "./api.js";
import { h } from "./dom.js";

const KEPT = 300;
const fetched = new Map();

/** Return a promise of a URL that an element can show. */
export function shown(url) {
  if (!apiKey()) return Promise.resolve(url);
  if (!fetched.has(url)) {
    fetched.set(url, asBlob(url));
    fetched.get(url).catch(() => fetched.delete(url));
    if (fetched.size > KEPT) forget(fetched.keys().next().value);
  }
  return fetched.get(url);
}

async function asBlob(url) {
  return URL.createObjectURL(await (await send(url)).blob());
}

function forget(url) {
  fetched.get(url).then(URL.revokeObjectURL, () => {});
  fetched.delete(url);
}

/** Show a picture once it is there; what was shown before stays until then. */
export async function showPicture(image, url) {
  image.dataset.wanted = url;
  image.onerror = () => (image.hidden = true);
  try {
    const source = await shown(url);
    if (image.dataset.wanted === url && image.getAttribute("src") !== source) image.src = source;
    image.hidden = false;
  } catch {
    image.hidden = true;
  }
}

/** Return a link that saves a file under this name. */
export function downloadLink(text, url, name) {
  const link = h("a", { href: url, download: name, textContent: text });
  link.addEventListener("click", async (event) => {
    if (!apiKey() || url.startsWith("blob:")) return;
    event.preventDefault();
    h("a", { href: await shown(url), download: name }).click();
  });
  return link;
}
