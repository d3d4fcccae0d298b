// A checked proof as a file, which `rustorium verify` checks again without any node.

import { read } from "./api.js";

/** Changes of committees that are fetched at a time. */
const CHANGES_AT_ONCE = 100;
/** The first byte of a proof in a file, by its kind. */
const TAGS = { read: "00", transaction: "02" };

/** Whether a file can be made of a proof of this kind. */
export const canBeFile = (kind) => kind in TAGS;

async function changesBefore(epoch, signal) {
  const found = [];
  while (found.length < epoch) {
    const limit = Math.min(epoch - found.length, CHANGES_AT_ONCE);
    const { changes } = await read(`/v1/epochs?from=${found.length}&limit=${limit}`, signal);
    if (changes.length === 0) throw new Error(`the node doesn't say how epoch ${found.length} ended`);
    found.push(...changes.map((change) => change.change_hex));
  }
  return found;
}

/** The file's content: `proof` as it was checked, `shown` what it showed under this protocol version. */
export async function contentOf({ kind, part_hex: part, proof_hex: digits }, shown, protocol, signal) {
  const file = {
    format: "rustorium-proof",
    version: protocol === 1 ? 1 : 2, // a program that doesn't know version 2 refuses the file by its version
    kind,
    chain: shown.chain,
    facts: shown,
    epochs: await changesBefore(shown.epoch, signal),
    proof: `${TAGS[kind]}${part ?? ""}${digits}`,
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/** Has the browser save a text under a name. */
export function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
