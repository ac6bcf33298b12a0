/** The stage: one job, followed while it runs and shown when it has ended. */

import { ApiError, events, hasEnded } from "./api.js";
import { addPreview, finishDenoising, resetDenoising, restartPreviews } from "./denoising.js";
import { $, announce, pause, tell } from "./dom.js";
import { cancel, fetchJob, job, jobs, remove } from "./jobs.js";
import { render, resetView, titleOf } from "./stage-view.js";
import { sentence, standing } from "./words.js";

const LOOK_EVERY_MS = 2_000;

let open = { id: null, ended: new AbortController() };

/** Make the stage's own buttons work; `onAgain` gets a video job whose request is wanted again. */
export function setUpStage(onAgain) {
  jobs.addEventListener("change", () => job(open.id) && update(job(open.id)));
  $("cancel").addEventListener("click", async () => {
    await act(cancel);
    $("stage-title").focus();
  });
  $("again").addEventListener("click", () => onAgain(open.job));
  $("delete").addEventListener("click", async () => {
    if (!confirm("Delete this job and its files?") || !(await act(remove))) return;
    location.hash = "";
    $("compose").focus();
  });
}

/** Show a job, none if the id is empty; the promise is kept once it can be seen. */
export async function show(id) {
  if (id === open.id) return;
  open.ended.abort();
  open = { id, ended: new AbortController() };
  $("stage").hidden = true;
  resetDenoising();
  resetView();
  if (!id) return;
  const { signal } = open.ended;
  try {
    update(await firstLook(id, signal));
    $("stage").hidden = false;
    Promise.all([follow(id, signal), keepLooking(id, signal)]).catch(gone(signal));
  } catch (error) {
    gone(signal)(error);
  }
}

async function firstLook(id, signal) {
  for (;;) {
    try {
      return await fetchJob(id, signal);
    } catch (error) {
      if (signal.aborted || (error instanceof ApiError && error.status < 500)) throw error;
      await pause(LOOK_EVERY_MS, signal);
    }
  }
}

async function follow(id, signal) {
  for await (const { type, data } of events(id, signal)) {
    if (type === "started") restartPreviews();
    else if (type === "preview") addPreview(data);
    else if (type === "progress") progress(data);
    if (type !== "preview" && type !== "progress") await fetchJob(id, signal).catch(() => {});
  }
  if (!signal.aborted) update(await fetchJob(id, signal));
}

async function keepLooking(id, signal) {
  while (!signal.aborted && !hasEnded(open.job.status)) {
    await pause(LOOK_EVERY_MS, signal);
    if (!signal.aborted) await fetchJob(id, signal).catch(() => {});
  }
}

function update(found) {
  const before = open.job;
  open.job = found;
  render(found);
  if (found.status === "completed" && before?.status !== "completed") {
    finishDenoising(found.object === "video" ? found.caption : found.text);
  }
  if (before ? before.status !== found.status : !hasEnded(found.status)) announce(spoken(found));
}

function spoken(found) {
  const text = found.caption ?? found.text;
  if (found.status === "completed" && text) return `Done: ${text}`;
  return `${titleOf(found)}: ${found.error?.message ?? standing(found)}`;
}

/** Between two looks at the job, its steps come with the events. */
function progress({ phase, step, of }) {
  if (open.job.status !== "in_progress" || phase !== "denoise") return;
  $("progress").value = Math.max($("progress").value, Math.floor((90 * step) / of));
}

async function act(action) {
  try {
    await action(open.id);
    return true;
  } catch (error) {
    tell($("failure"), `That did not work: ${error.message}.`);
    return false;
  }
}

const gone = (signal) => (error) => {
  if (signal.aborted) return;
  open.ended.abort();
  resetView();
  $("stage").hidden = false;
  $("stage-title").textContent = "This job cannot be shown";
  tell($("failure"), sentence(error.message));
};
