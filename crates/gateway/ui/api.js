// Asks the node that served this page. Every failure is a `Problem` that says what to do.

import { placed } from "./shards.js";
import { bearing } from "./token.js";

/** Why there is no answer. */
export class Problem extends Error {
  constructor(code, title, detail, status = 0, body = {}) {
    super(detail);
    Object.assign(this, { code, title, detail, status, body });
  }
}

/** How far the node's clock is behind this one, ms, as far as an answer's date tells: it has whole seconds. */
export const clock = { behindMs: 0 };

const unreachable = () =>
  new Problem(
    "unreachable",
    "The node doesn’t answer",
    "It may be restarting, or the connection is down. The page continues by itself as soon as the node answers.",
  );

async function ask(path, signal, options = {}, of = undefined) {
  let response;
  try {
    response = await fetch(placed(path, of), { signal, ...options, headers: { ...bearing(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  // An answer from the browser's cache has an old date.
  if (!Number.isNaN(date) && options.cache === "no-store") clock.behindMs = Date.now() - date - 500;
  return response;
}

/** Nodes of 0.1.0 joined the words of codes by underscores. */
const spelled = (name, value) =>
  ["code", "kind"].includes(name) && typeof value === "string" ? value.replaceAll("_", "-") : value;

async function answerOf(response, also = 0) {
  let body;
  try {
    body = JSON.parse(await response.text(), spelled);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(
      "not-json",
      "This answer is not from a node",
      "Something between this page and the node answered instead. Open the node's own address.",
      response.status,
    );
  }
  if (!response.ok && response.status !== also) {
    throw new Problem(
      body.code ?? "unknown",
      body.title ?? "The node refused",
      body.detail ?? "It gave no reason.",
      response.status,
      body,
    );
  }
  return { status: response.status, body };
}

/** The JSON at a path of the API. */
export async function read(path, signal) {
  const options = path === "/v1/status" ? { cache: "no-store" } : {};
  return (await answerOf(await ask(path, signal, options))).body;
}

/** Whether there is something at a path, in the page's shard or another one. */
export const exists = async (path, of) => (await answerOf(await ask(path, undefined, {}, of), 404)).status === 200;

/** The answer to a question that needs a body. */
export async function post(path, body, signal) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return (await answerOf(await ask(path, signal, options))).body;
}

/** The bytes at a path. */
export async function readBytes(path, signal) {
  const response = await ask(path, signal);
  if (!response.ok) await answerOf(response);
  return new Uint8Array(await response.arrayBuffer());
}
