// Make a video with its caption, and caption a file: node examples/make_video.mjs PROMPT [FILE]
import { openAsBlob } from "node:fs";
import { writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { basename } from "node:path";

const url = process.env.UNIVIGU_URL ?? "http://127.0.0.1:8000";
const key = process.env.UNIVIGU_API_KEY ?? "unused";

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${key}`, ...options.headers };
  const answer = await fetch(url + path, { ...options, headers });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer;
}

async function create(path, body) {
  // a repeat with the same key makes no second job
  const headers = { "Idempotency-Key": randomUUID() };
  return (await call(path, { method: "POST", body, headers })).json();
}

async function ended(path) {
  for (;;) {
    const job = await (await call(`${path}?wait=60`)).json();
    if (!["queued", "in_progress"].includes(job.status)) return job;
  }
}

const [prompt, file] = process.argv.slice(2);
const fields = new FormData();
fields.set("prompt", prompt);
fields.set("seed", "1");
const { id } = await create("/v1/videos", fields);
const video = await ended(`/v1/videos/${id}`);
console.log(video.status, video.caption ?? video.error?.message);
if (video.status === "completed") {
  const content = await call(`/v1/videos/${id}/content`);
  await writeFile("video.mp4", Buffer.from(await content.arrayBuffer()));
}

if (file) {
  const upload = new FormData();
  upload.set("video", await openAsBlob(file), basename(file));
  const caption = await create("/v1/captions", upload);
  const told = await ended(`/v1/captions/${caption.id}`);
  console.log(told.status, told.text ?? told.error?.message);
}
