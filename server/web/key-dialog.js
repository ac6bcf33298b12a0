/** The dialog that takes an API key and tries it before it is kept. */

import { apiKey, keepApiKey, read } from "./api.js";
import { $, tell } from "./dom.js";
import { sentence } from "./words.js";

/** Make the dialog work. */
export function setUpKeyDialog() {
  const dialog = $("key-dialog");
  $("key-open").addEventListener("click", () => {
    $("key").value = apiKey();
    $("key-forget").hidden = !apiKey();
    tell($("key-error"), "");
    dialog.showModal();
  });
  $("key-close").addEventListener("click", () => dialog.close());
  $("key-forget").addEventListener("click", () => keepApiKey(""));
  $("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = $("key").value.trim();
    try {
      if (!/^[!-~]+$/.test(key)) throw new Error("a key is made of plain letters, digits and signs");
      await read("/v1/models", { key });
      keepApiKey(key);
    } catch (error) {
      tell($("key-error"), error.status === 401 ? "This server does not know this key." : sentence(error.message));
      $("key").focus();
    }
  });
}
