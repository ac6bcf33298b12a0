/** The demo page: forms above, the job on the stage, recent jobs below. */

import { fillIn, setUpForms } from "./compose.js";
import { setUpDenoising } from "./denoising.js";
import { $ } from "./dom.js";
import { setUpGallery } from "./gallery.js";
import { hurry, watchJobs } from "./jobs.js";
import { setUpKeyDialog } from "./key-dialog.js";
import { loadModel } from "./model.js";
import { server, watchServer } from "./server-state.js";
import { setUpStage, show } from "./stage.js";

/** Show the job that the address names; who opened it from its card goes on reading there. */
async function route(event) {
  const isFromCard = document.activeElement?.matches(".cover");
  await show(location.hash.slice(1));
  if (!event || !location.hash) return;
  $("stage").scrollIntoView({ block: "nearest" });
  if (isFromCard) $("stage-title").focus();
}

setUpKeyDialog();
setUpForms();
setUpDenoising();
setUpGallery();
setUpStage(fillIn);
server.addEventListener("ready", () => {
  loadModel().catch(() => {});
  hurry();
});
addEventListener("hashchange", route);
loadModel().catch(() => {});
route();
watchServer();
watchJobs();
