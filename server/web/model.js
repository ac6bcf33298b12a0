/** What the loaded checkpoint can do: the choices in the form, and examples for a world we know. */

import { read } from "./api.js";
import { $, h, offerExamples, tell } from "./dom.js";

const WORLDS = {
  "moving-shapes": {
    prompts: ["a red circle moving left", "a blue square growing", "a green cross moving up"],
    questions: ["what color is the shape ?", "how does it move ?", "what is the background ?"],
  },
};
const NO_WORLD = { prompts: [], questions: ["What happens in this video?"] };

let found = null;

/** Return what `/v1/videos/models` says of the model, or null before it is known. */
export const model = () => found;

/** Ask the server, and fill in the form where another checkpoint is loaded. */
export async function loadModel() {
  const before = found?.checkpoint;
  [found] = (await read("/v1/videos/models")).data;
  if (found.checkpoint === before) return;
  tell($("checkpoint"), found.checkpoint);
  const form = $("form-video");
  fill(form.elements.size, found.sizes, (size) => size.replace("x", " x "));
  form.elements.size.value = found.defaults.size;
  fill(form.elements.num_frames, frameCounts(found), (count) => length(count, found.defaults.fps));
  form.elements.num_frames.value = found.defaults.num_frames;
  for (const name of ["num_inference_steps", "guidance_scale"]) {
    form.elements[name].placeholder = found.defaults[name];
    form.elements[name].max = found.limits[name];
  }
  const world = WORLDS[found.checkpoint.split("@")[0]] ?? NO_WORLD;
  offerExamples($("video-examples"), world.prompts, $("prompt"));
  offerExamples($("question-examples"), world.questions, $("question"));
  offerExamples($("ask-examples"), world.questions, $("ask-text"));
}

function fill(select, values, text) {
  select.replaceChildren(...values.map((value) => h("option", { value, textContent: text(value) })));
}

function frameCounts({ num_frames_step: step, limits }) {
  const most = Math.floor((limits.num_frames - 1) / step);
  return Array.from({ length: most }, (_, k) => step * (k + 1) + 1);
}

const length = (count, fps) => `${(count / fps).toFixed(1)} s (${count} frames)`;
