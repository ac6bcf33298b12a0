/** The few things that every part of the page does with the document. */

/** Return the element with this id. */
export const $ = (id) => document.getElementById(id);

/** Make an element with these properties and children. */
export function h(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** Say something to screen readers; the same words twice are said once. */
export function announce(text) {
  if ($("announcer").textContent !== text) $("announcer").textContent = text;
}

/** Show a text in an element that is hidden without one. */
export function tell(node, text) {
  node.hidden = !text;
  if (node.textContent !== (text ?? "")) node.textContent = text ?? "";
}

/** Return a promise for the time after so many milliseconds; it ends early with the signal. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Fill a box with example texts; a press on one puts it into the field. */
export function offerExamples(box, texts, field) {
  box.hidden = texts.length === 0;
  box.replaceChildren(
    ...texts.map((text) => {
      const chip = h("button", { type: "button", textContent: text });
      chip.addEventListener("click", () => {
        field.value = text;
        field.focus();
      });
      return chip;
    }),
  );
}

/** A rest between two looks. A knock ends it, or the next one if nobody rests just now. */
export class Rest {
  #isKnocked = false;
  #end = () => {};

  knock() {
    this.#isKnocked = true;
    this.#end();
  }

  async take(milliseconds) {
    const early = new AbortController();
    this.#end = () => early.abort();
    if (!this.#isKnocked) await pause(milliseconds, early.signal);
    this.#isKnocked = false;
  }
}
