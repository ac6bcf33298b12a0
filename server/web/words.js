/** How things are said: times, statuses, and which words of a draft have settled. */

/** Return a duration in words that fit a line, e.g. "about 40 s". */
export function duration(seconds) {
  if (seconds < 1) return "a moment";
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${(seconds / 3600).toFixed(1)} h`;
}

/** Return a message as a sentence; a field's name stays as it is written. */
export const sentence = (text) =>
  text.replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase()) + (/[.!?]$/.test(text) ? "" : ".");

/** Return a file's size. */
export const fileSize = (bytes) =>
  bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** Return in one line where a job stands. */
export function standing(job) {
  const rest = job.eta_seconds === null ? "" : `, ${duration(job.eta_seconds)} left`;
  if (job.cancel_requested_at && job.status === "in_progress") return "Cancelling";
  if (job.status === "queued" && job.attempt > 0) return `Trying again${rest}`;
  if (job.status === "queued") {
    return (job.queue_position ? `Number ${job.queue_position} in the queue` : "In the queue") + rest;
  }
  if (job.status === "in_progress") return `${phase(job.phase)}${rest}`;
  return { completed: "Done", failed: "Failed", cancelled: "Cancelled" }[job.status] ?? job.status;
}

const PHASES = {
  read: "Reading the video",
  encode: "Reading the video",
  denoise: "Denoising",
  decode: "Developing the frames",
};
const phase = (name) => PHASES[name] ?? "Working";

/**
 * Return the words of a draft as `{ word, isSettled }`. Settled is a word that stays what it is to the
 * end; while that is not known, one that is the same as just before and not the noise of the start.
 */
export function settling(drafts, index, final) {
  const split = (text) => (text ?? "").split(/\s+/).filter(Boolean);
  const [first, before] = [split(drafts[0]), split(drafts[index - 1])];
  const later = [...drafts.slice(index + 1), final].map(split);
  return split(drafts[index]).map((word, place) => ({
    word,
    isSettled:
      final === undefined
        ? word === before[place] && word !== first[place]
        : later.every((words) => words[place] === word),
  }));
}
