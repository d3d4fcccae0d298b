// The chain as it grows: blocks from the node's event stream, its condition every few seconds.
//
// One stream for the whole page. What is kept is bounded; who draws is told a few times a second at most.

import { clock, read } from "./api.js";
import { placed } from "./shards.js";
import { bearing, TokenStream, wantsToken } from "./token.js";

const BLOCKS_MAX = 16_384;
const BACKFILL = 200;
const STATUS_EVERY_MS = 3000;
const AGAIN_MS = 1500;
const TELL_EVERY_MS = 250;
/** Behind the last receipt of any block. */
const AFTER = 4294967295;
/** The net has no such shard, or this node doesn't host it. */
const NOT_HERE = ["unknown-shard", "elsewhere"];
/** Clocks that differ by more say nothing of latencies. */
export const CLOCKS_DIFFER_MS = 2000;

const listeners = new Set();
/** @type {{blocks: object[], status: object|null, chain: object|null, connection: string, denied: Error|null}} */
export const live = { blocks: [], status: null, chain: null, connection: "connecting", denied: null };

let stream = null;
let waiting = false;
let told = 0;
let shown = 0;

/** Calls `listener` when something changed; gives back what ends it. */
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  if (waiting) return;
  waiting = true;
  setTimeout(
    () =>
      requestAnimationFrame(() => {
        waiting = false;
        told = performance.now();
        for (const listener of listeners) listener(live);
      }),
    Math.max(told + TELL_EVERY_MS - performance.now(), 0),
  );
}

function connected(state) {
  if (live.connection === state) return;
  live.connection = state;
  tell();
}

function take(event) {
  const block = JSON.parse(event.data);
  const last = live.blocks.at(-1);
  if (last && block.height <= last.height) return;
  // What was there before the page, or by another clock, shows nothing of how long it took.
  const measured = block.height > shown && Math.abs(clock.behindMs) <= CLOCKS_DIFFER_MS;
  live.blocks.push({ ...block, latencyMs: measured ? Math.max(Date.now() - block.time_ms, 0) : null });
  if (live.blocks.length > BLOCKS_MAX) live.blocks.splice(0, live.blocks.length - BLOCKS_MAX);
  connected("live");
  tell();
}

function again() {
  stream?.close();
  stream = null;
  connected("offline");
  setTimeout(open, AGAIN_MS);
}

async function open() {
  try {
    await refresh();
  } catch (error) {
    if (!wantsToken(error) && !NOT_HERE.includes(error.code)) {
      again();
      return;
    }
    // The page asks for a token and begins anew with it, or says that this shard isn't shown here.
    live.denied = error;
    connected("offline");
    return;
  }
  const tip = live.status.at.height;
  shown = Math.max(shown, tip);
  const seen = live.blocks.at(-1)?.height ?? Math.max(tip - BACKFILL, 0);
  const path = placed(`/v1/events?filter=blocks&last_event_id=${live.status.at.shard}.${seen}.${AFTER}`);
  stream = bearing().authorization ? new TokenStream(path) : new EventSource(path);
  stream.addEventListener("open", () => connected("live"));
  stream.addEventListener("block", take);
  for (const end of ["too-slow", "gone", "closing"]) {
    stream.addEventListener(end, () => {
      if (end === "gone") live.blocks.length = 0;
      again();
    });
  }
  // A node of 0.1.0 spells it so.
  stream.addEventListener("too_slow", again);
  stream.addEventListener("error", again);
}

async function refresh() {
  if (!live.chain) live.chain = await read("/v1/chain");
  live.status = await read("/v1/status");
  if (live.status.chain !== live.chain.chain) live.chain = await read("/v1/chain");
  tell();
}

/** Starts, once. */
export function start() {
  open();
  setInterval(() => {
    if (!document.hidden && live.connection === "live") refresh().catch(() => {});
  }, STATUS_EVERY_MS);
}

/** The newest height that the page knows. */
export const height = () => Math.max(live.blocks.at(-1)?.height ?? 0, live.status?.at.height ?? 0);
