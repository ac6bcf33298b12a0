/** What was just done on this page, as `curl` commands and as Python. */

import { apiKey } from "./api.js";

const FIELDS = ["mode", "size", "num_frames", "num_inference_steps", "guidance_scale"];

/** Return `{ curl, Python }` for a job, given the checkpoint's defaults and a caption's source. */
export function samples(job, defaults, source) {
  return job.object === "video" ? videoSamples(job, defaults) : captionSamples(job, source);
}

const base = () => location.origin;
const shell = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
const keyOption = () => (apiKey() ? ` -H "Authorization: Bearer $UNIVIGU_API_KEY"` : "");

function lookAgain(job, kind) {
  return [
    "# the id is in the answer; this is the job on this page",
    `curl -s${keyOption()} '${base()}/v1/${kind}s/${job.id}?wait=60'`,
  ];
}

function videoSamples(job, defaults) {
  const changed = FIELDS.filter((name) => job[name] !== { mode: "joint", ...defaults }[name]);
  const extra = Object.fromEntries(["seed", ...changed].map((name) => [name, job[name]]));
  const curl = [
    `curl -s${keyOption()} ${base()}/v1/videos -H 'Content-Type: application/json' \\`,
    `  -d ${shell(JSON.stringify({ prompt: job.prompt, ...extra }))}`,
    ...lookAgain(job, "video"),
    `curl -s${keyOption()} -o video.mp4 ${base()}/v1/videos/${job.id}/content`,
  ];
  const python = [
    ...(apiKey() ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${base()}/v1", api_key=${pythonKey()})`,
    "video = client.videos.create_and_poll(",
    `    prompt=${JSON.stringify(job.prompt)},`,
    `    extra_body=${JSON.stringify(extra)},`,
    ")",
    "print(video.caption)",
    'client.videos.download_content(video.id).write_to_file("video.mp4")',
  ];
  return { curl: curl.join("\n"), Python: python.join("\n") };
}

function captionSamples(job, source) {
  return { curl: captionCurl(job, source), Python: captionPython(job, source) };
}

function captionCurl(job, source) {
  const body = { video_id: source.videoId, instruction: job.instruction ?? undefined };
  const how = source.videoId
    ? `-H 'Content-Type: application/json' \\\n  -d ${shell(JSON.stringify(body))}`
    : `-F ${shell(`video=@${source.name ?? "video.mp4"}`)}${asked(job)}`;
  return [
    `curl -s${keyOption()} ${base()}/v1/captions ${how}`,
    ...lookAgain(job, "caption"),
  ].join("\n");
}

const asked = (job) =>
  job.instruction ? ` \\\n  --form-string ${shell(`instruction=${job.instruction}`)}` : "";

function captionPython(job, source) {
  const fields = { ...(job.instruction && { instruction: job.instruction }) };
  const sent = source.videoId
    ? `json=${JSON.stringify({ video_id: source.videoId, ...fields })}`
    : `files={"video": open(${JSON.stringify(source.name ?? "video.mp4")}, "rb")}, data=${JSON.stringify(fields)}`;
  return [
    ...(apiKey() ? ["import os", ""] : []),
    "import requests",
    "",
    `url = "${base()}/v1/captions"`,
    ...(apiKey() ? [`headers = {"Authorization": "Bearer " + ${pythonKey()}}`] : []),
    `job = requests.post(url, ${sent}${pythonHeaders()}).json()`,
    `job = requests.get(f"{url}/{job['id']}?wait=60"${pythonHeaders()}).json()`,
    'print(job["text"])',
  ].join("\n");
}

const pythonKey = () => (apiKey() ? 'os.environ["UNIVIGU_API_KEY"]' : '"unused"');
const pythonHeaders = () => (apiKey() ? ", headers=headers" : "");
