/** The recent jobs of both kinds, kept up to date here and, by hints between them, in every tab. */

import { create, hasEnded, jobPath, read, send } from "./api.js";
import { Rest } from "./dom.js";

const LIVE_EVERY_MS = 2_000;
const IDLE_EVERY_MS = 20_000;
const PER_PAGE = 12;
const MOST = 96;

/** Tells with a `change` event that a job is there, is different or is gone. */
export const jobs = new EventTarget();

const known = new Map();
const tabs = new BroadcastChannel("univigu.jobs");
let limit = PER_PAGE;
let isMore = false;
let isListed = false;
const rest = new Rest();

/** Return the recent jobs, newest first. */
export function recent() {
  return [...known.values()]
    .sort((a, b) => b.created_at - a.created_at || b.id.localeCompare(a.id))
    .slice(0, limit);
}

/** Return what is known of a job. */
export const job = (id) => known.get(id);

/** Whether the server has told its jobs by now. */
export const isKnown = () => isListed;

/** Whether older jobs could be shown. */
export const hasMore = () => isMore && limit < MOST;

/** Show older jobs too. */
export async function showMore() {
  limit = Math.min(limit + PER_PAGE, MOST);
  await refresh();
}

/** Take in a job as the server has just described it. */
export function take(found) {
  known.set(found.id, found);
  jobs.dispatchEvent(new Event("change"));
  return found;
}

/** Start a job: at `/v1/videos` or `/v1/captions`; `onSent` as in `send`. */
export async function start(path, body, onSent) {
  const made = take(await create(path, body, onSent));
  tabs.postMessage("changed");
  rest.knock();
  return made;
}

/** Ask for a job as it stands. */
export const fetchJob = async (id, signal) => take(await read(jobPath(id), { signal }));

/** Ask a job to stop. */
export async function cancel(id) {
  take(await (await send(`${jobPath(id)}/cancel`, { method: "POST" })).json());
  tabs.postMessage("changed");
}

/** Delete a job with its files. */
export async function remove(id) {
  await send(jobPath(id), { method: "DELETE" });
  known.delete(id);
  jobs.dispatchEvent(new Event("change"));
  tabs.postMessage("changed");
}

/** Look at the lists now. */
export async function refresh() {
  const pages = await Promise.all(
    ["videos", "captions"].map((kind) => read(`/v1/${kind}?limit=${limit}`)),
  );
  isListed = true;
  known.clear();
  for (const found of pages.flatMap((page) => page.data)) known.set(found.id, found);
  isMore = known.size > limit || pages.some((page) => page.has_more);
  jobs.dispatchEvent(new Event("change"));
}

/** Look at the lists again and again, more often while a job is live. */
export async function watchJobs() {
  tabs.addEventListener("message", () => rest.knock());
  document.addEventListener("visibilitychange", () => document.hidden || rest.knock());
  for (;;) {
    await refresh().catch(() => {}); // the server's state is told elsewhere
    const isLive = [...known.values()].some((found) => !hasEnded(found.status));
    await rest.take(isLive && !document.hidden ? LIVE_EVERY_MS : IDLE_EVERY_MS);
  }
}

/** Look at the lists soon. */
export const hurry = () => rest.knock();
