// Blocks: the list as it grows, and one block with its proof and its receipts.

import { read } from "./api.js";
import {
  accountHref,
  blockHref,
  card,
  copied,
  count,
  empty,
  facts,
  h,
  idLink,
  short,
  table,
  transactionHref,
  when,
} from "./dom.js";
import { height, live, watch } from "./live.js";
import { checked, unproven } from "./proof.js";

const PAGE = 30;

export async function blocks({ signal }) {
  const list = table(
    "Blocks, newest first",
    ["Height", "Digest", ["Transactions", "number"], ["Time", "number"]],
    [],
    "pairs",
  );
  const more = h("button", { type: "button", class: "button quiet" }, "Older blocks");
  const note = h("p", { class: "muted" });
  let [newest, oldest] = [0, null];
  const row = (block) =>
    list.makeRow([
      h("a", { href: blockHref(block.height) }, count(block.height)),
      idLink(blockHref(block.digest), block.digest),
      count(block.receipts),
      when(block.time_ms),
    ]);

  function draw() {
    const fresh = live.blocks.filter((block) => block.height > newest).slice(-PAGE);
    if (fresh.length === 0) return;
    const gap = newest > 0 && fresh[0].height > newest + 1;
    if (gap) list.body.replaceChildren();
    list.body.prepend(...fresh.toReversed().map(row));
    newest = fresh.at(-1).height;
    if (oldest === null || gap) oldest = fresh[0].height;
    more.hidden = oldest <= 1;
    note.hidden = true;
  }

  async function older() {
    more.disabled = true;
    try {
      for (let left = PAGE; left > 0 && oldest > 1; left -= 1) {
        const block = await read(`/v1/blocks/${oldest - 1}`, signal);
        oldest -= 1;
        list.body.append(
          row({ height: oldest, digest: block.digest, receipts: block.receipts, time_ms: block.header.time_ms }),
        );
      }
      more.hidden = oldest <= 1;
    } catch (error) {
      if (error.name === "AbortError") return;
      note.hidden = false;
      note.textContent = error.detail ?? error.message;
    } finally {
      more.disabled = false;
    }
  }

  more.addEventListener("click", older);
  more.hidden = true;
  note.textContent =
    height() === 0 ? "There is no block yet. An idle chain makes no blocks; the first transaction makes the first one." : "";
  signal.addEventListener("abort", watch(draw));
  draw();
  return {
    title: "Blocks",
    element: h(
      "div",
      { class: "stack" },
      h("h1", {}, "Blocks"),
      card(null, list, note, h("p", { class: "more" }, more)),
    ),
  };
}

/** The proposer's name, where the committee of its epoch is the one that the node knows. */
function proposedBy(header, committee) {
  const name = committee?.epoch === header.epoch ? committee.validators[header.proposer]?.name : null;
  return name ?? `validator ${header.proposer}`;
}

function headerFacts(header, digest, receipts, committee) {
  return facts(
    ["Digest", copied(digest)],
    ["Time", when(header.time_ms), h("span", { class: "muted" }, ` ${new Date(header.time_ms).toLocaleString()}`)],
    ["Transactions", `${count(header.transactions)} in the block, ${count(receipts)} executed`],
    ["Proposed by", `${proposedBy(header, committee)}, view ${count(header.view)} of epoch ${count(header.epoch)}, shard ${header.shard}`],
    ["Parent", idLink(blockHref(header.parent), header.parent)],
    [
      "Certifies results up to",
      `height ${count(header.result.height)}, root `,
      h("span", { class: "mono", title: header.result.root }, short(header.result.root)),
    ],
    header.state && [
      "Certifies the state of",
      `height ${count(header.state.height)}, root `,
      h("span", { class: "mono", title: header.state.root }, short(header.state.root)),
    ],
    header.ends_epoch && ["Ends its epoch", "the next committee takes over"],
  );
}

/** What differs between the header that the node says and the one that was proven. */
function judge(answer) {
  return (shown) => {
    const { header, claimed_by: claim } = shown;
    if (claim.digest !== answer.digest) return "the proof is of another block than the one that the node names";
    const said = answer.header;
    const same = [
      "shard",
      "height",
      "epoch",
      "view",
      "parent",
      "proposer",
      "time_ms",
      "transactions",
      "validator_set",
      "ends_epoch",
    ].every((name) => header[name] === said[name]);
    const claims = ["result", "state"].every((name) => JSON.stringify(header[name]) === JSON.stringify(said[name]));
    return same && claims ? null : "the node says something else of this block than its proof shows";
  };
}

export async function block({ signal }, which) {
  const answer = await read(`/v1/blocks/${which}?proof=1`, signal);
  const { header, digest } = answer;
  const committee = await read("/v1/validators", signal).catch(() => null);
  const details = h("div", {}, headerFacts(header, digest, answer.receipts, committee));
  const proof = answer.proof_hex
    ? checked(
        { kind: "block", part_hex: answer.block_hex, proof_hex: answer.proof_hex },
        { signal, judge: judge(answer), done: () => {}, refuse: () => details.classList.add("doubtful") },
      )
    : unproven(
        "This node has no certificate for this block",
        "It received the block later from other nodes, or the certificate was pruned. Ask another node, or open a newer block.",
      );
  const list = await receipts(digest, signal);
  const step = (to, words, label) =>
    to >= 1 && to <= Math.max(height(), header.height)
      ? h("a", { class: "button quiet", href: blockHref(to), "aria-label": label }, words)
      : null;
  const element = h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "title" },
      h("h1", {}, `Block ${count(header.height)}`),
      h(
        "p",
        { class: "steps" },
        step(header.height - 1, "← Older", "The block before"),
        step(header.height + 1, "Newer →", "The block after"),
      ),
    ),
    proof,
    card(null, details),
    card("Transactions", list),
  );
  return { title: `Block ${count(header.height)}`, element };
}

async function receipts(digest, signal) {
  const list = table(
    "Transactions of this block, in order",
    [["#", "number"], "Transaction", "Sender", "Outcome"],
    [],
    "names",
  );
  const more = h("button", { type: "button", class: "button quiet" }, "More");
  let next = "";
  async function load() {
    const page = await read(`/v1/blocks/${digest}/receipts?limit=${PAGE}${next && `&after=${next}`}`, signal);
    list.body.append(
      ...page.receipts.map((receipt) =>
        list.makeRow([
          count(receipt.index),
          idLink(transactionHref(receipt.id), receipt.id),
          idLink(accountHref(receipt.sender), receipt.sender, 8, 4),
          h(
            "span",
            { class: `tag ${receipt.outcome}` },
            receipt.outcome === "ok" ? "ok" : `Failed: ${receipt.failure.code}`,
          ),
        ]),
      ),
    );
    next = page.next ?? "";
    more.hidden = !next;
  }
  await load();
  more.addEventListener("click", () =>
    load().catch((error) => {
      more.textContent = error.detail ?? error.message;
    }),
  );
  if (!list.body.hasChildNodes())
    return empty("This block has no transactions", "A block without transactions certifies the results of earlier blocks.");
  return h("div", {}, list, h("p", { class: "more" }, more));
}
