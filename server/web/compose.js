/** The two forms: a prompt becomes a video, a video becomes a caption or an answer. */

import { $, tell } from "./dom.js";
import { start } from "./jobs.js";
import { model } from "./model.js";
import { showSending } from "./sending.js";
import { noteSource, sourceOf } from "./sources.js";
import { fileSize, sentence } from "./words.js";

const MOST_PREVIEWS = 24;
const FIELDS = "prompt mode size num_frames num_inference_steps guidance_scale seed".split(" ");

let chosen = null;

/** Make the forms work. */
export function setUpForms() {
  setUpTabs();
  setUpDropping();
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("form-video").requestSubmit();
  });
  $("file").addEventListener("change", () => choose($("file").files[0]));
  onSubmit($("form-video"), $("video-error"), makeVideo);
  onSubmit($("form-caption"), $("caption-error"), captionFile);
  onSubmit($("ask"), $("ask-error"), askAgain);
}

/** Put the request of a video job back into the form. */
export function fillIn(job) {
  select($("tab-video"));
  const fields = $("form-video").elements;
  for (const name of FIELDS) fields[name].value = job[name];
  fields.prompt.focus();
  $("form-video").querySelector("details").open = true;
}

function onSubmit(form, problem, action) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    tell(problem, "");
    try {
      location.hash = (await action(form)).id;
    } catch (error) {
      tell(problem, inWords(error));
      const field = form.elements[error.param];
      field?.closest("details")?.setAttribute("open", "");
      field?.focus();
    } finally {
      button.ariaDisabled = null;
    }
  });
}

function inWords(error) {
  const later = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  const known = {
    queue_full: "The queue is full, so this was not taken.",
    model_loading: "The model is still loading, so this was not taken.",
    invalid_api_key: "This server asks for an API key that it knows. Nothing was started.",
    rate_limit_exceeded: "That was too fast for this server.",
    too_many_jobs: "You have as many jobs under way as this server allows.",
  };
  return (known[error.code] ?? sentence(error.message)) + later;
}

function makeVideo(form) {
  // texts, as they were typed: a seed may be greater than a number here can hold exactly
  const entries = [...new FormData(form)].filter(([, value]) => value.trim() !== "");
  const body = Object.fromEntries(entries);
  if (!body.prompt) throw Object.assign(new Error("a prompt is needed"), { param: "prompt" });
  const steps = body.num_inference_steps ?? model()?.defaults.num_inference_steps ?? MOST_PREVIEWS;
  body.preview_interval = Math.max(1, Math.ceil(steps / MOST_PREVIEWS));
  return start("/v1/videos", asForm(body));
}

function captionFile(form) {
  if (!chosen) throw Object.assign(new Error("choose a video first"), { param: "video" });
  return caption(form, { file: chosen }, form.elements.instruction.value.trim());
}

async function askAgain(form) {
  const id = location.hash.slice(1);
  const source = id.startsWith("caption_") ? sourceOf(id) : { videoId: id };
  const question = form.elements.instruction.value.trim();
  if (!question) throw Object.assign(new Error("a question is needed"), { param: "instruction" });
  const made = await caption(form, source, question);
  form.reset();
  return made;
}

async function caption(form, source, instruction) {
  const { file, videoId } = source;
  const body = file ? { video: file } : { video_id: videoId };
  const onSent = file && showSending(form.querySelector(".sending"), file.name);
  try {
    const fields = asForm(instruction ? { ...body, instruction } : body);
    const made = await start("/v1/captions", fields, onSent);
    noteSource(made.id, source);
    return made;
  } finally {
    onSent?.(null);
  }
}

function asForm(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

function choose(file) {
  if (!file) return;
  chosen = file;
  $("file-name").textContent = `${file.name}, ${fileSize(file.size)}`;
  tell($("caption-error"), "");
}

function setUpTabs() {
  const tabs = [$("tab-video"), $("tab-caption")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = tabs.find((each) => each !== tab);
      select(other);
      other.focus();
    });
  }
}

function select(wanted) {
  for (const tab of [$("tab-video"), $("tab-caption")]) {
    tab.ariaSelected = String(tab === wanted);
    tab.tabIndex = tab === wanted ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = tab !== wanted;
  }
}

function setUpDropping() {
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    $("dropping").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("dropping").hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    $("dropping").hidden = true;
    select($("tab-caption"));
    choose(event.dataTransfer.files[0]);
    $("form-caption").requestSubmit();
  });
}
