/** What a caption was made from, which the server does not say: a file's name, or another video. */

const NAME = "univigu.sources";
const KEPT = 100;
const files = new Map();

/** Note the source of a caption job: `{ name, videoId, file }`, of which only a file is lost on reload. */
export function noteSource(captionId, { file, name = file?.name, videoId }) {
  if (file) files.set(captionId, file);
  const noted = [...stored().filter(([id]) => id !== captionId), [captionId, { name, videoId }]];
  localStorage.setItem(NAME, JSON.stringify(noted.slice(-KEPT)));
}

/** Return the source of a caption job; empty if it is not known in this browser. */
export function sourceOf(captionId) {
  const [, noted] = stored().find(([id]) => id === captionId) ?? [];
  return { ...noted, file: files.get(captionId) };
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(NAME)) ?? [];
  } catch {
    return [];
  }
}
