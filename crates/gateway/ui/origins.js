// Where the accounts of the newest transactions are at home. A region grants nothing, and says nothing of a person.

import { read } from "./api.js";
import { live } from "./live.js";
import { regionName } from "./regions.js";

/** Receipts that are counted, and blocks that are asked for them. */
const RECEIPTS_MAX = 500;
const BLOCKS_MAX = 24;
const PAGE = 100;
const AGAIN_MS = 10_000;
/** A count below it could be one person's. */
const LEAST = 10;
const BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/** The region's byte of an address: its first 8 bits behind `rs1`. */
export function regionOf(address) {
  const [high, low] = [BECH32.indexOf(address[3]), BECH32.indexOf(address[4])];
  return ((high << 3) | (low >> 2)) & 255;
}

/** Counts by region's byte, most first; without those that are too few to tell. */
export function counted(senders) {
  const counts = new Map();
  for (const sender of senders) counts.set(regionOf(sender), (counts.get(regionOf(sender)) ?? 0) + 1);
  return [...counts].filter(([, number]) => number >= LEAST).sort((a, b) => b[1] - a[1]);
}

/** What the counts say, in words; nothing of one region alone. */
export function originWords(all, seen) {
  if (all.length === 0) return "";
  const parts = all.slice(0, 5).map(([region, number]) => `${Math.round((100 * number) / seen)} % ${regionName(region)}`);
  return `Accounts of the newest ${seen} transactions are at home in: ${parts.join(", ")}.`;
}

/** Reads the newest receipts now and then, and tells `found` the counts and how many were seen. */
export function follow(found, signal) {
  const state = { of: -1, asking: false, asked: 0 };
  return async () => {
    const from = live.blocks.filter((one) => one.receipts > 0).slice(-BLOCKS_MAX);
    const newest = from.at(-1)?.height;
    if (newest === undefined || newest === state.of || state.asking || Date.now() - state.asked < AGAIN_MS) return;
    Object.assign(state, { asking: true, asked: Date.now() });
    try {
      const senders = [];
      for (const { height: at } of from.reverse()) {
        if (senders.length >= RECEIPTS_MAX) break;
        const page = await read(`/v1/blocks/${at}/receipts?limit=${PAGE}`, signal);
        senders.push(...page.receipts.map((receipt) => receipt.sender));
      }
      state.of = newest;
      found(counted(senders), senders.length);
    } catch (error) {
      // The connection's state is shown above; a later block asks again.
      if (error.name !== "AbortError") state.asked = Date.now();
    } finally {
      state.asking = false;
    }
  };
}
