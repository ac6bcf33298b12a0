/** The denoising of the job on the stage: its newest preview while it runs, any of them afterwards. */

import { $, h } from "./dom.js";
import { showPicture } from "./media.js";
import { settling } from "./words.js";

const REPLAY_STEP_MS = 140;
const IN_STRIP = 10;

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
    const wanted = Math.min(Number($("scrub").value), newest());
    isHeld = wanted < newest();
    show(wanted);
  });
  $("replay").addEventListener("click", () => (replaying === null ? replay() : stopReplay()));
}

/** Forget the job before. */
export function resetDenoising() {
  final = undefined;
  restartPreviews();
}

/** Start anew: another attempt makes previews of its own. */
export function restartPreviews() {
  stopReplay();
  [previews, index, isHeld] = [[], 0, false];
  $("strip").replaceChildren();
  $("frame").removeAttribute("src");
  update();
}

/** Take in `{ step, of, caption, frame }`. */
export function addPreview(preview) {
  const place = previews.length;
  previews.push(preview);
  const image = h("img", { alt: "" });
  image.addEventListener("click", () => ((isHeld = true), show(place)));
  $("strip").append(image);
  if (preview.frame) showPicture(image, preview.frame);
  thinOut();
  update();
}

/** Leave room in the strip for the previews to come, and only so many in it that they can be seen. */
function thinOut() {
  const every = Math.ceil(expected() / IN_STRIP);
  $("strip").style.setProperty("--shown", Math.ceil(expected() / every));
  [...$("strip").children].forEach((image, place) => image.classList.toggle("left-out", place % every > 0));
}

/** How many previews there will be: the first one tells their interval. */
function expected() {
  const [{ step, of }] = previews;
  return Math.max(previews.length, Math.floor(of / step));
}

/** Take in the finished text. */
export function finishDenoising(text) {
  final = text;
  update();
}

function update() {
  $("denoising").hidden = previews.length === 0;
  $("replay").hidden = final === undefined;
  $("scrub").max = final !== undefined || !previews.length ? previews.length : expected();
  show(isHeld ? index : newest());
}

const newest = () => Math.max(0, previews.length - (final === undefined ? 1 : 0));

function show(wanted) {
  index = wanted;
  const preview = previews[index];
  $("scrub").value = index;
  const before = $("screen").dataset.shows;
  $("screen").dataset.shows = preview ? "frame" : final === undefined ? "nothing" : "clip";
  if (preview) $("clip").pause();
  else if (before === "frame" && $("clip").autoplay) $("clip").play().catch(() => {});
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
  $("words").replaceChildren(...spans.flatMap((span) => [" ", span]).slice(1));
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
