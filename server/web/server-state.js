/** Whether the server can work, said in the corner and, where it cannot, in a banner. */

import { apiKey, connection, read, Unreachable } from "./api.js";
import { $, Rest, tell } from "./dom.js";

const READY_EVERY_MS = 15_000;
const OTHERWISE_EVERY_MS = 2_000;
const GOOD_NEWS_MS = 5_000;

const STATES = {
  connecting: { pill: "Connecting" },
  ready: { pill: "Ready" },
  loading: {
    pill: "Loading",
    banner: "The model is loading. Jobs that were taken wait in the queue until it is ready.",
  },
  partial: { pill: "Not ready" },
  gone: {
    pill: "No answer",
    banner: "The server does not answer. This page goes on by itself as soon as it is back.",
  },
  locked: { pill: "Key needed", banner: "This server asks for an API key." },
};

/** Tells with a `ready` event that the server can work, at first and again after a trouble. */
export const server = Object.assign(new EventTarget(), { state: "connecting" });

const rest = new Rest();

/** Start looking. */
export async function watchServer() {
  connection.addEventListener("lost", () => server.state === "gone" || become("gone"));
  connection.addEventListener("refused", () => server.state === "locked" || become("locked"));
  document.addEventListener("visibilitychange", () => document.hidden || rest.knock());
  for (;;) {
    await look();
    await rest.take(server.state === "ready" ? READY_EVERY_MS : OTHERWISE_EVERY_MS);
  }
}

async function look() {
  if (document.hidden && server.state === "ready") return;
  try {
    await read("/readyz");
    await read("/v1/models");
    become("ready");
  } catch (error) {
    if (error instanceof Unreachable || error.status === 401) return;
    const isEngine = /engine/.test(error.message);
    become(isEngine ? "loading" : "partial", isEngine ? undefined : error.message);
  }
}

function become(state, message) {
  const before = server.state;
  server.state = state;
  $("server").dataset.state = state;
  tell($("server"), STATES[state].pill);
  if (state === "ready") {
    if (before !== "ready") server.dispatchEvent(new Event("ready"));
    if (["gone", "loading", "partial"].includes(before)) return tellGoodNews(before);
    if (before !== "ready") tell($("banner"), "");
    return;
  }
  tell($("banner"), message ?? STATES[state].banner);
  if (state === "locked") $("banner").append(" ", keyButton());
  if (before === "ready") rest.knock();
}

function tellGoodNews(before) {
  tell($("banner"), before === "gone" ? "The server is back." : "The server is ready.");
  $("banner").dataset.good = "";
  setTimeout(() => {
    delete $("banner").dataset.good;
    if (server.state === "ready") tell($("banner"), "");
  }, GOOD_NEWS_MS);
}

function keyButton() {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = apiKey() ? "Change the key" : "Enter a key";
  button.addEventListener("click", () => $("key-open").click());
  return button;
}
