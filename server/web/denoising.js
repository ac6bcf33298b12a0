/** The denoising of the job on the stage: its newest preview while it runs, any of them afterwards. */

import { $, h } from "./dom.js";
import { showPicture } from "./media.js";
import { settling } from "./words.js";

const REPLAY_STEP_MS = 140;

let previews = [];
/** What came out at the end; undefined until then, and null where no text was made. */
let final;
let index = 0;
let isHeld = false;
let replaying = null;

/** Make slider, strip and replay work. */
export function setUpDenoising() {
  $("scrub").addEventListener("input", () => {
    stopReplay();
    isHeld = Number($("scrub").value) < Number($("scrub").max);
    show(Number($("scrub").value));
  });
  $("replay").addEventListener("click", () => (replaying === null ? replay() : stopReplay()));
}

/** Forget the job before. */
export function resetDenoising() {
  stopReplay();
  [previews, final, index, isHeld] = [[], undefined, 0, false];
  $("strip").replaceChildren();
  $("words").replaceChildren();
  $("frame").removeAttribute("src");
  update();
}

/** Start anew: another attempt makes previews of its own. */
export function restartPreviews() {
  if (previews.length > 0) resetDenoising();
}

/** Take in `{ step, of, caption, frame }`. */
export function addPreview(preview) {
  const place = previews.length;
  previews.push(preview);
  if (preview.frame) {
    const image = h("img", { alt: "", hidden: true });
    image.addEventListener("click", () => ((isHeld = true), show(place)));
    $("strip").append(image);
    showPicture(image, preview.frame);
  }
  update();
}

/** Take in the finished text. */
export function finishDenoising(text) {
  final = text;
  update();
}

function update() {
  const isDone = final !== undefined;
  const last = previews.length - (isDone ? 0 : 1);
  $("denoising").hidden = previews.length === 0;
  $("replay").hidden = !isDone;
  $("scrub").max = Math.max(0, last);
  show(isHeld ? index : Math.max(0, last));
}

function show(wanted) {
  index = wanted;
  const preview = previews[index];
  $("scrub").value = index;
  $("screen").dataset.shows = preview ? "frame" : final === undefined ? "nothing" : "clip";
  if (preview) $("clip").pause();
  if (preview?.frame) showPicture($("frame"), preview.frame);
  const name = preview ? `Step ${preview.step} of ${preview.of}` : "The finished clip";
  $("frame").alt = `${name}, not finished`;
  $("step").textContent = name;
  $("scrub").setAttribute("aria-valuetext", preview?.caption ? `${name}: ${preview.caption}` : name);
  showWords(preview);
}

function showWords(preview) {
  const drafts = previews.map((each) => each.caption);
  const words = preview
    ? settling(drafts, index, final)
    : settling([final], 0, final ?? undefined);
  const spans = words.map(({ word, isSettled }) =>
    h("span", { textContent: word, className: isSettled ? "" : "loose" }),
  );
  $("words").replaceChildren(...spans.flatMap((span) => [span, " "]));
}

function replay() {
  isHeld = true;
  show(0);
  $("replay").textContent = "Stop";
  replaying = setInterval(() => {
    if (index < previews.length) show(index + 1);
    else stopReplay();
  }, REPLAY_STEP_MS);
}

function stopReplay() {
  clearInterval(replaying);
  replaying = null;
  $("replay").textContent = "Replay the denoising";
  isHeld = isHeld && index < previews.length;
}
