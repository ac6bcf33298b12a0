/** The recent jobs as cards, each updated in place so that focus stays where it is. */

import { hasEnded } from "./api.js";
import { $, tell } from "./dom.js";
import { cancel, hasMore, isKnown, jobs, recent, showMore } from "./jobs.js";
import { showPicture } from "./media.js";
import { titleOf } from "./stage-view.js";
import { standing } from "./words.js";

const cards = new Map();

/** Keep the gallery in step with the jobs. */
export function setUpGallery() {
  jobs.addEventListener("change", update);
  $("more").addEventListener("click", () => showMore().catch(() => {}));
  addEventListener("hashchange", update);
}

function update() {
  const found = recent();
  const ids = new Set(found.map((job) => job.id));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.remove();
    cards.delete(id);
  }
  found.forEach((job, place) => {
    const card = cards.get(job.id) ?? newCard(job);
    const here = $("gallery").children[place];
    if (here !== card) $("gallery").insertBefore(card, here ?? null);
    fill(card, job);
  });
  $("recent-empty").hidden = !isKnown() || found.length > 0;
  $("more").hidden = !hasMore();
}

function newCard(job) {
  const card = $("card").content.firstElementChild.cloneNode(true);
  card.dataset.kind = job.object;
  card.querySelector(".cover").href = `#${job.id}`;
  card.querySelector(".stop").addEventListener("click", () => cancel(job.id).catch(() => {}));
  cards.set(job.id, card);
  return card;
}

function fill(card, job) {
  const text = (job.object === "video" ? job.caption : job.text) ?? titleOf(job);
  const part = (name) => card.querySelector(name);
  const cover = part(".cover");
  if (location.hash === `#${job.id}`) cover.setAttribute("aria-current", "true");
  else cover.removeAttribute("aria-current");
  card.dataset.status = job.status;
  tell(part(".said"), text);
  const kind = job.object === "video" ? "Video" : (job.instruction ?? "Caption");
  tell(part(".badge"), job.status === "completed" ? kind : standing(job));
  part("progress").hidden = job.status !== "in_progress";
  part("progress").value = job.progress;
  part(".stop").hidden = hasEnded(job.status) || Boolean(job.cancel_requested_at);
  part(".stop").ariaLabel = `Cancel: ${titleOf(job)}`;
  if (job.urls.thumbnail) showPicture(part("img"), job.urls.thumbnail);
}
