// Checks in this page what the node says: the light client, compiled from the node's own Rust, as a WebAssembly module.

import { Problem, post, read, readBytes } from "./api.js";
import { blockHref, copied, count, duration, facts, h, hexOf, inDigits, sentence, short, when } from "./dom.js";
import { live } from "./live.js";
import { canBeFile, contentOf, save } from "./prooffile.js";
import { shard } from "./shards.js";

/** Changes of committees that are fetched at a time. */
const CHANGES_AT_ONCE = 100;

let client = null;

async function load() {
  const source = fetch(new URL("light.wasm", import.meta.url));
  const { instance } = await WebAssembly.instantiateStreaming(source);
  const { memory, question, answer, answer_bytes: answerBytes } = instance.exports;
  const ask = (words) => {
    const bytes = new TextEncoder().encode(JSON.stringify(words));
    const room = question(bytes.length);
    if (room === 0) return { refused: "the proof is larger than any that a node makes" };
    new Uint8Array(memory.buffer, room, bytes.length).set(bytes);
    const at = answer();
    return JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, at, answerBytes())));
  };
  const genesis = await readBytes("/v1/genesis");
  const { started, refused } = ask({ ask: "start", genesis_hex: hexOf(genesis), shard });
  if (refused) throw new Error(`the genesis can't be read: ${refused}`);
  return { ask, started };
}

/** The light client of this chain; it is loaded when the first proof is to be checked. */
function lightClient() {
  client ??= load().catch((error) => {
    client = null;
    throw error;
  });
  return client;
}

/** Follows committees from epoch `from` to before `to`; why not, where a change is refused. */
async function follow(ask, [from, to], signal) {
  for (let next = from; next < to;) {
    const { changes } = await read(`/v1/epochs?from=${next}&limit=${Math.min(to - next, CHANGES_AT_ONCE)}`, signal);
    if (changes.length === 0) return `the node doesn't say how epoch ${next} ended`;
    for (const change of changes) {
      const { refused } = ask({ ask: "follow", change_hex: change.change_hex, now_ms: Date.now() });
      if (refused) return refused;
    }
    next += changes.length;
  }
  return null;
}

/** What a proof shows: `{ shown }` or `{ refused }`, with the milliseconds that it took. */
export async function check(proof, signal) {
  const { ask, started } = await lightClient();
  const begun = performance.now();
  const question = { ask: "check", ...proof, now_ms: Date.now() };
  let result = ask(question);
  if (result.missing) {
    const refused = await follow(ask, result.missing, signal);
    result = refused ? { refused } : ask(question);
  }
  if (result.missing) result = { refused: "the committee that signed it can't be reached from the genesis" };
  return { ...result, started, tookMs: performance.now() - begun };
}

/** The command that checks the same at another node. */
const COMMAND = { read: "rustorium query", transaction: "rustorium tx status", block: "rustorium block show" };

const ICON = { checking: "…", verified: "✓", refused: "✕", unproven: "–" };

function panel(state, heading, ...more) {
  return h(
    "div",
    { class: "proof", "data-state": state, role: "status" },
    h(
      "p",
      { class: "proof-head" },
      h("span", { class: "proof-icon", "aria-hidden": "true" }, ICON[state]),
      h("strong", {}, heading),
    ),
    more,
  );
}

/** A button that saves the proof as a file, for whoever wants to check it elsewhere. */
function download(proof, shown, protocol, signal) {
  const button = h("button", { type: "button", class: "button quiet" }, "Download proof");
  button.addEventListener("click", async () => {
    try {
      save(`proof-${shown.claimed_by.height}.json`, await contentOf(proof, shown, protocol, signal));
    } catch (error) {
      button.textContent = sentence(error.detail ?? error.message);
    }
  });
  return h("p", { class: "more" }, button);
}

/** Names the validators whose signatures the light client checked. */
function signersText({ labels, validators, by_owners: byOwners }) {
  return `${byOwners ? "the owners of " : ""}${labels.join(", ")} (${labels.length} of ${validators} validators)`;
}

function verified(proof, { shown, protocol, signers, started, tookMs }, signal) {
  const claim = shown.claimed_by;
  return panel(
    "verified",
    "Verified in this page",
    h(
      "p",
      {},
      "The validators’ signatures and the proof were checked here, down to the chain’s genesis. This page shows what they prove.",
    ),
    h(
      "details",
      {},
      h("summary", {}, "What was checked"),
      facts(
        ["Holds after height", shown.height === undefined ? "–" : count(shown.height)],
        [
          "Signed block",
          h("a", { href: blockHref(claim.digest) }, count(claim.height)),
          " ",
          h("span", { class: "mono" }, short(claim.digest)),
          ", ",
          when(claim.time_ms),
        ],
        signers && ["Signed by", signersText(signers)],
        [
          "Committee",
          `of shard ${shown.shard}, epoch ${count(shown.epoch)}, reached from the genesis’ ${count(started.validators)} validators`,
        ],
        ["Chain", copied(shown.chain)],
        ["Took", duration(tookMs)],
      ),
      h(
        "p",
        { class: "note" },
        "Compare the chain’s id with the one that you know. This page came from a node, too. If you trust no node, check with ",
        h("code", {}, "rustorium verify"),
        ".",
      ),
    ),
    canBeFile(proof.kind) ? download(proof, shown, protocol, signal) : null,
  );
}

const refused = (why, kind) =>
  panel(
    "refused",
    "Refused: this is not proven",
    h("p", { class: "why" }, sentence(why)),
    h(
      "p",
      {},
      "Don’t rely on it. Somebody between you and the ledger may have changed the answer, or the node is wrong: ask another node, or use ",
      h("code", {}, COMMAND[kind]),
      ".",
    ),
  );

/** A panel for what can't be proven now, with the reason. */
export const unproven = (heading, why) => panel("unproven", heading, h("p", {}, sentence(why)));

/**
 * A panel that says how the check of `proof` ends. `judge(shown)` says what is wrong with what it shows, or null;
 * `done(shown)` gets it once it is proven; `refuse()` and `fail()` are told that it is refused, or can't be checked.
 */
export function checked(proof, { signal, judge, done, refuse, fail }) {
  const place = h("div", {}, panel("checking", "Checking the proof in this page"));
  (async () => {
    try {
      const result = await check(proof, signal);
      const why = result.refused ?? judge(result.shown);
      if (signal.aborted) return;
      place.replaceChildren(why ? refused(why, proof.kind) : verified(proof, result, signal));
      if (why) refuse();
      else done(result.shown);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      const why =
        error instanceof Problem
          ? error.detail
          : `The light client can’t run here (${error.message}). Check with ${COMMAND[proof.kind]} instead.`;
      place.replaceChildren(unproven("Not checked", why));
      fail?.();
    }
  })();
  return place;
}

const PROOF_TIMEOUT_MS = 5000;
/** Why there may be no proof, though all is well. */
const NO_PROOF = ["no-state-root", "not-proven-yet", "proof-pruned"];

async function prove(subjects, signal) {
  const question = { items: subjects };
  try {
    // What is final now must be in it, so that who just wrote sees it. Blocks without transactions change nothing.
    const from = live.blocks.findLast((block) => block.receipts > 0)?.height ?? 0;
    return {
      answer: await post("/v1/proofs", { ...question, at: "current", timeout_ms: PROOF_TIMEOUT_MS }, signal),
      from,
    };
  } catch (error) {
    if (error.code === "bad-body") {
      const what = "asset" in subjects[0] ? "Not an account address, or not an asset’s id" : "Not an account address";
      throw new Problem(
        "bad-address",
        what,
        "An address begins with rs1 and ends with a checksum: a character of it is wrong or missing. Copy it whole.",
      );
    }
    if (error.code !== "not-proven-yet") throw error;
    return { answer: await post("/v1/proofs", question, signal), from: 0 };
  }
}

const isObject = (value) => value !== null && typeof value === "object";

/** Whether two answers have the same members with the same values, in whatever order. */
export const same = (one, other) =>
  isObject(one) && isObject(other)
    ? Object.keys(one).length === Object.keys(other).length &&
      Object.entries(one).every(([name, value]) => same(value, other[name]))
    : one === other;

/** Whether all that `said` has is in `item`; of a record its parts. */
const agrees = (item, said) =>
  Object.entries(item).every(([name, value]) => {
    const other = said?.[name] ?? null;
    return isObject(value) ? other !== null && agrees(value, other) : value === other;
  });

/** What the content of a subject says of itself. A subject says by fields of its own what it asks for. */
function named({ authority: settings, governance, proposal: number, ...names }) {
  if (settings) return { ...names, type: "authority" };
  if (governance) return { ...names, type: "governance" };
  if (number !== undefined) return { ...names, type: "proposal", number };
  return { ...names, type: "key_hex" in names ? "value" : "asset" in names ? "balance" : "account" };
}

/**
 * Asks what subjects hold, with one proof, and checks it: a place that shows it once it is proven, by `words(items, shown)`,
 * and the panel about the proof. `subjects`: as the API takes them. `more(items, shown)` says what else is wrong, or null.
 */
export async function provenItems(subjects, words, signal, more = () => null) {
  const place = h(
    "div",
    { class: "value", "aria-live": "polite" },
    h("p", { class: "muted" }, "Shown once its proof is verified."),
  );
  let found;
  try {
    found = await prove(subjects, signal);
  } catch (error) {
    if (!NO_PROOF.includes(error.code)) throw error;
    place.replaceChildren(h("p", { class: "muted" }, "Not shown: there is no proof of it now."));
    return { place, panel: unproven("No proof of it now", error.detail) };
  }
  const { answer, from } = found;
  const asked = subjects.map(named);
  const ordered = (list) => asked.map((one) => (list ?? []).find((item) => agrees(one, item)));
  const judge = (shown) => {
    const items = ordered(shown.items);
    if ((shown.items ?? []).length !== asked.length || items.includes(undefined))
      return "the proof is of something else than what was asked for";
    if (shown.height < from) return `the proof is of height ${shown.height}, older than height ${from}, which is final`;
    const said = ordered(answer.items);
    // A proof shows a value in hex digits, and once more as text where it is text; a node shows it once.
    const agree = items.every(({ value: _, ...proved }, index) => agrees(proved, inDigits(said[index])));
    return agree ? more(items, shown) : "the node says something else than its proof shows";
  };
  const panel = checked(
    { kind: "read", proof_hex: answer.proof_hex },
    {
      signal,
      judge,
      done: (shown) => place.replaceChildren(...[words(ordered(shown.items), shown)].flat(2).filter(Boolean)),
      refuse: () => place.replaceChildren(h("p", {}, "Not shown: what the node said is not proven.")),
      fail: () => place.replaceChildren(h("p", { class: "muted" }, "Not shown: its proof can’t be checked here.")),
    },
  );
  return { place, panel };
}

/** Asks what one subject holds, and shows it by `words(item, shown)` once it is proven. */
export const proven = (subject, words, signal) => provenItems([subject], ([item], shown) => words(item, shown), signal);
