/** A text with a button that copies it. */

import { announce, h } from "./dom.js";

const THANKS_MS = 2_000;

/** Return a titled block of code that can be copied. */
export function copyable(title, text) {
  const code = h("pre", { textContent: text });
  const button = h("button", { type: "button", textContent: "Copy", ariaLabel: `Copy ${title}` });
  button.addEventListener("click", async () => {
    await copy(code, text);
    button.textContent = "Copied";
    announce(`${title} copied`);
    setTimeout(() => (button.textContent = "Copy"), THANKS_MS);
  });
  const head = h("div", { className: "row" }, h("h3", { textContent: title }), button);
  return h("div", { className: "sample" }, head, code);
}

/** Browsers lend the clipboard to pages over https or from this machine; elsewhere the old way works. */
async function copy(code, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
}
