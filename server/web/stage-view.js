/** What the stage shows of a job, apart from its denoising. */

import { hasEnded } from "./api.js";
import { copyable } from "./copyable.js";
import { $, h, tell } from "./dom.js";
import { downloadLink, shown } from "./media.js";
import { model } from "./model.js";
import { samples } from "./samples.js";
import { sourceOf } from "./sources.js";
import { sentence, standing } from "./words.js";

const FILES = { video: "mp4", thumbnail: "jpg", spritesheet: "jpg", txt: "txt", vtt: "vtt", srt: "srt" };
const LABELS = { video: "Video", thumbnail: "Thumbnail", spritesheet: "Sprite sheet" };

/** Empty the stage. */
export function resetView() {
  for (const id of ["stage-title", "state", "facts", "samples", "downloads"]) $(id).replaceChildren();
  for (const id of ["progress", "cancel", "again", "delete", "ask", "downloads", "code"]) $(id).hidden = true;
  for (const id of ["failure", "screen-note", "ask-error"]) tell($(id), "");
  $("clip").removeAttribute("src");
  $("clip").replaceChildren();
  $("clip").load();
  delete $("clip").dataset.of;
  $("clip").hidden = true;
  $("progress").value = 0;
  $("screen").style.removeProperty("--ratio");
}

/** Return what a job is called. */
export function titleOf(job) {
  if (job.object === "video") return job.prompt;
  if (job.instruction) return job.instruction;
  const { name } = sourceOf(job.id);
  return name ? `Caption of ${name}` : "Caption of a video";
}

/** Show a job as it stands. */
export function render(job) {
  const isVideo = job.object === "video";
  const isDone = job.status === "completed";
  $("stage").dataset.kind = isVideo ? "video" : job.instruction ? "answer" : "caption";
  if ($("stage-title").textContent !== titleOf(job)) $("stage-title").textContent = titleOf(job);
  $("state").dataset.status = job.status;
  tell($("state"), standing(job));
  $("progress").hidden = hasEnded(job.status);
  $("progress").value = job.status === "queued" ? 0 : Math.max($("progress").value, job.progress);
  tell($("failure"), job.error && sentence(job.error.message));
  $("cancel").hidden = hasEnded(job.status) || Boolean(job.cancel_requested_at);
  $("again").hidden = !isVideo;
  $("delete").hidden = false;
  $("ask").hidden = !(isDone && (isVideo || sourceOf(job.id).file || sourceOf(job.id).videoId));
  $("code").hidden = false;
  showClip(job);
  showDownloads(job);
  showFacts(job);
  showSamples(job);
}

/** Put the clip onto the screen once: the video made, or the one that is told about. */
async function showClip(job) {
  const { file, videoId } = sourceOf(job.id);
  const made = job.urls.video ?? (videoId && `/v1/videos/${videoId}/content`);
  const clip = $("clip");
  if (job.width) setRatio(job.width, job.height);
  if (job.object === "caption" && !made && !file) tell($("screen-note"), "The video is not kept in this browser.");
  const of = `${job.id} ${Boolean(job.urls.vtt)}`;
  if ((!made && !file) || clip.dataset.of === of) return;
  clip.dataset.of = of;
  clip.autoplay = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  clip.ariaLabel = titleOf(job);
  clip.onloadedmetadata = () => {
    if (clip.videoWidth) setRatio(clip.videoWidth, clip.videoHeight);
  };
  clip.onerror = () => {
    if (clip.dataset.of !== of) return;
    clip.hidden = true;
    tell($("screen-note"), "This browser cannot show this video.");
  };
  const source = file ? URL.createObjectURL(file) : await shown(made);
  const track = job.urls.vtt && (await shown(job.urls.vtt));
  if (clip.dataset.of !== of) return;
  clip.src = source;
  if (track) {
    clip.replaceChildren(
      h("track", { kind: "captions", srclang: "en", label: "Caption", src: track }),
    );
  }
  clip.hidden = false;
}

const setRatio = (width, height) => $("screen").style.setProperty("--ratio", `${width} / ${height}`);

function showDownloads(job) {
  const links = Object.entries(FILES)
    .filter(([name]) => job.urls[name])
    .map(([name, suffix]) =>
      downloadLink(LABELS[name] ?? `.${name}`, job.urls[name], `${job.id}.${suffix}`),
    );
  if ($("downloads").childElementCount === links.length) return;
  $("downloads").hidden = links.length === 0;
  $("downloads").replaceChildren(h("span", { className: "quiet", textContent: "Save" }), ...links);
}

function showFacts(job) {
  const facts = {
    Seed: job.seed,
    Steps: job.num_inference_steps,
    Guidance: job.guidance_scale,
    Size: job.size && `${job.size}, ${job.num_frames} frames, ${job.fps} fps`,
    Times: timings(job),
    Attempts: job.attempt > 1 ? job.attempt : undefined,
    Notes: job.notes.join(" "),
  };
  const rows = Object.entries(facts).filter(([, value]) => value !== undefined && value !== "");
  $("facts").replaceChildren(
    ...rows.map(([name, value]) =>
      h("div", {}, h("dt", { textContent: name }), h("dd", { textContent: value })),
    ),
  );
}

function timings(job) {
  const stages = Object.entries(job.stage_durations).map(
    ([name, seconds]) => `${name} ${seconds.toFixed(2)} s`,
  );
  return stages.join(", ");
}

function showSamples(job) {
  const texts = samples(job, model()?.defaults, sourceOf(job.id));
  const shownNow = JSON.stringify(texts);
  if ($("samples").dataset.of === shownNow && $("samples").childElementCount) return;
  $("samples").dataset.of = shownNow;
  $("samples").replaceChildren(...Object.entries(texts).map(([name, text]) => copyable(name, text)));
}
