/**
 * The HTTP API as this page uses it: the key, errors as exceptions, creates that are never doubled,
 * and event streams that come back by themselves.
 */

import { pause } from "./dom.js";
import { sendForm } from "./upload.js";

const KEY_NAME = "univigu.apiKey";
const CREATE_TRIES = 6;

/** What became of requests: `answered`, `lost` (no answer) or `refused` (no valid key). */
export const connection = new EventTarget();

/** The server has answered with an error. */
export class ApiError extends Error {
  constructor(status, { message, code, param }, retryAfter) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

/** The server has not answered. */
export class Unreachable extends Error {}

/** Return the API key kept in this browser, or "". */
export const apiKey = () => localStorage.getItem(KEY_NAME) ?? "";

/** Keep a key, or forget it if it is empty. The page starts anew with it, in every tab. */
export function keepApiKey(key) {
  if (key) localStorage.setItem(KEY_NAME, key);
  else localStorage.removeItem(KEY_NAME);
  location.reload();
}
addEventListener("storage", (event) => event.key === KEY_NAME && location.reload());

/**
 * Send a request; an object becomes JSON. Throws ApiError or Unreachable.
 * For a form, `onSent` is called with the part of it that has left, from 0 to 1.
 */
export async function send(path, { body, headers = {}, key = apiKey(), onSent, ...options } = {}) {
  if (key) headers = { ...headers, Authorization: `Bearer ${key}` };
  if (body && !(body instanceof FormData)) {
    body = JSON.stringify(body);
    headers = { ...headers, "Content-Type": "application/json" };
  }
  let response;
  try {
    const request = { ...options, headers, body };
    response = await (onSent ? sendForm(path, request, onSent) : fetch(path, request));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.dispatchEvent(new Event("lost"));
    throw new Unreachable("the server does not answer");
  }
  connection.dispatchEvent(new Event(response.status === 401 ? "refused" : "answered"));
  if (!response.ok) throw await asError(response);
  return response;
}

async function asError(response) {
  const fallback = { message: `the server answered with status ${response.status}` };
  const { error = fallback } = await response.json().catch(() => ({}));
  return new ApiError(response.status, error, Number(response.headers.get("Retry-After")) || null);
}

/** Return what a GET answers with. */
export const read = async (path, options) => (await send(path, options)).json();

/** Create a job; a request that got no answer is repeated, and its name keeps the job single. */
export async function create(path, body, onSent) {
  const words = crypto.getRandomValues(new Uint32Array(4));
  const headers = { "Idempotency-Key": `page-${[...words].map((w) => w.toString(36)).join("")}` };
  for (let attempt = 1; ; attempt++) {
    try {
      return await (await send(path, { method: "POST", body, headers, onSent })).json();
    } catch (error) {
      if (!(error instanceof Unreachable) || attempt === CREATE_TRIES) throw error;
      await pause(attempt * 1000);
    }
  }
}

/** Return the path of a job by its id alone. */
export const jobPath = (id) =>
  `/v1/${id.startsWith("caption_") ? "captions" : "videos"}/${encodeURIComponent(id)}`;

/** Whether a job with this status has ended. */
export const hasEnded = (status) => !["queued", "in_progress"].includes(status);

/** Yield the events of a job, all of them from the first, until it has ended. */
export async function* events(id, signal) {
  let lastId = "0";
  for (let wait = 500; !signal.aborted; await pause(wait, signal)) {
    try {
      for await (const event of stream(`${jobPath(id)}/events`, lastId, signal)) {
        lastId = event.id;
        yield event;
      }
      if (hasEnded((await read(jobPath(id), { signal })).status)) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status < 500) throw error;
      wait = Math.min(wait * 2, 5000);
    }
  }
}

async function* stream(path, lastId, signal) {
  const response = await send(path, { signal, headers: { "Last-Event-ID": lastId } });
  const texts = response.body.pipeThrough(new TextDecoderStream());
  let rest = "";
  for await (const text of chunks(texts)) {
    const blocks = (rest + text).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    yield* blocks.map(parseEvent).filter((event) => event.id);
  }
}

/** Safari cannot iterate a stream yet. */
async function* chunks(texts) {
  const reader = texts.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function parseEvent(block) {
  const fields = Object.fromEntries(
    block.split(/\r?\n/).map((line) => [line.split(":", 1)[0], line.replace(/^[^:]*: ?/, "")]),
  );
  return { id: fields.id, type: fields.event, data: fields.id && JSON.parse(fields.data) };
}
