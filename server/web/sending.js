/** Shows how much of a file has been sent, to eyes and to screen readers. */

import { announce, tell } from "./dom.js";

/** Return what to call with the part that was sent, from 0 to 1; null ends it. */
export function showSending(box, name) {
  const bar = box.querySelector("progress");
  let told = 0;
  announce(`Sending ${name}`);
  return (part) => {
    box.hidden = part === null || (part === 1 && box.hidden);
    if (part === null) return;
    bar.value = part;
    const percent = Math.floor(100 * part);
    tell(box.querySelector("span"), part < 1 ? `Sending, ${percent} %` : "Sent, waiting for the server");
    if (percent < told + 25 || box.hidden) return;
    told = percent;
    announce(part < 1 ? `${percent} % of ${name} sent` : `${name} is sent`);
  };
}
