// One transaction: the proof of it, what became of it, and what it does.

import { read } from "./api.js";
import { changeRows, moment } from "./changes.js";
import {
  accountHref,
  balanceHref,
  blockHref,
  card,
  copied,
  count,
  facts,
  h,
  idLink,
  inDigits,
  keyHref,
  readable,
  say,
  toHex,
  when,
} from "./dom.js";
import { checked, same, unproven } from "./proof.js";
import { authority, settings } from "./settings.js";

const AGAIN_MS = 1000;

const NAMES = {
  put: "Set a key",
  delete: "Remove a key",
  transfer: "Transfer",
  issue: "Issue an asset",
  grant: "Grant writing",
  create_account: "Create an account",
  set_authority: "Change who signs",
  cancel_authority: "Cancel a change of who signs",
  approve_authority: "Approve a change of who signs",
  recover: "Recover an account",
  withdraw_recovery: "Withdraw a recovery",
  require: "Require",
  add_validator: "Add a validator",
  remove_validator: "Remove a validator",
  replace_key: "Replace a validator’s keys",
  set_owner: "Set a validator’s owner",
  recover_operators: "Wish for other operators",
  end_epoch: "End the epoch",
  register_verifier: "Register a verifier",
  verify_proof: "Verify a Groth16 proof",
  shield: "Shield an amount",
  shielded_transfer: "Transfer shielded value",
  unshield: "Unshield an amount",
  propose: "Propose a change of the chain",
  approve: "Approve a proposal",
  withdraw: "Take an approval back",
};

const account = (address) => idLink(accountHref(address), address, 10, 6);

/** A condition, as rows. */
function condition(one) {
  const keyRow = () => {
    const digits = one.key_hex ?? toHex(one.key);
    return ["Key", h("a", { href: keyHref(one.namespace, digits) }, readable(digits)), " of ", account(one.namespace)];
  };
  switch (one.type) {
    case "value_hash":
      return [
        ["Only if", "the key’s value has this hash"],
        keyRow(),
        ["Hash (BLAKE3)", h("span", { class: "mono whole" }, one.hash)],
      ];
    case "absent":
      return [["Only if", "the key has no value"], keyRow()];
    case "balance_at_least":
      return [
        ["Only if", "the account has at least this balance"],
        ["Account", account(one.account)],
        ["Amount", count(one.amount)],
        ["Asset", idLink(balanceHref(one.account, one.asset), one.asset)],
      ];
    case "proved":
      return [
        ["Only if", "a statement was proved to this verifier"],
        ["Verifier", h("span", { class: "mono whole" }, one.verifier)],
        [`Input ${count(one.input)}`, one.value ?? "the id of this transaction"],
      ];
    default:
      return [["Only if", h("code", { class: "whole" }, JSON.stringify(one))]];
  }
}

const whole = (text) => h("span", { class: "mono whole" }, text);

/** An authority, as rows. */
/** Who signed, as rows: one key in the form of version 1, as many as the authority asks for in that of version 2. */
function signatures(transaction) {
  if (transaction.signature) return [["Signature", whole(transaction.signature)]];
  const each = transaction.signatures.map(({ key, signature }) => [`Signature of key ${count(key)}`, whole(signature)]);
  return [...authority(transaction.authority), ...each];
}

/** What an operation does, as rows. */
function rows(operation) {
  const keyRow = () => [
    "Key",
    h("a", { href: keyHref(operation.namespace, operation.key_hex) }, readable(operation.key_hex)),
  ];
  switch (operation.type) {
    case "put":
      return [["Account", account(operation.namespace)], keyRow(), ["Value", readable(inDigits(operation).value_hex)]];
    case "delete":
      return [["Account", account(operation.namespace)], keyRow()];
    case "transfer":
      return [
        ["To", account(operation.to)],
        ["Amount", count(operation.amount)],
        ["Asset", idLink(balanceHref(operation.to, operation.asset), operation.asset)],
      ];
    case "issue":
      return [
        ["To", account(operation.to)],
        ["Amount", count(operation.amount)],
        ["Symbol", readable(operation.symbol_hex)],
      ];
    case "grant":
      return [
        ["To", account(operation.to)],
        [
          "Prefixes",
          operation.prefixes_hex.length === 0 || operation.rights?.length === 0
            ? "none: the right is taken back"
            : operation.prefixes_hex.map((prefix) =>
                h("p", {}, prefix === "" ? "the whole namespace" : readable(prefix)),
              ),
        ],
        ["May", (operation.rights ?? ["put", "delete"]).join(", ") || "nothing"],
        ...(operation.until_ms === undefined ? [] : [["Until", when(operation.until_ms)]]),
      ];
    case "create_account":
      return [
        ...(operation.authority ? authority(operation.authority) : [["Key", whole(operation.public_key)]]),
        ["Region", `byte ${operation.region}`],
        ["Storage", `${count(operation.storage_bytes)} bytes`],
      ];
    case "set_authority":
      return [
        ...settings(operation),
        ...(operation.void_grants ? [["Earlier grants", "become void"]] : []),
      ];
    case "cancel_authority":
      return [];
    case "approve_authority":
      return [
        ["Account", account(operation.account)],
        ["Change", whole(operation.change)],
      ];
    case "recover":
      return [["Account", account(operation.account)], ...authority(operation.authority)];
    case "withdraw_recovery":
      return [["Account", account(operation.account)]];
    case "propose":
      return [...changeRows(operation.change), ["Open until", moment(operation.until_ms)]];
    case "approve":
      return [
        ["Proposal", count(operation.number)],
        ["Hash of the change", whole(operation.change)],
      ];
    case "withdraw":
      return [["Proposal", count(operation.number)]];
    case "require":
      return condition(operation.condition);
    default: {
      const { type: _, ...words } = operation;
      return [["In full", h("code", { class: "whole" }, JSON.stringify(words))]];
    }
  }
}

const operations = (list) =>
  h(
    "ol",
    { class: "operations" },
    list.map((operation) =>
      h("li", {}, h("h3", {}, NAMES[operation.type] ?? operation.type), facts(...rows(operation))),
    ),
  );

const SAME = ["id", "sender", "nonce", "height", "index", "outcome"];

/** What is wrong with what the proof shows, beside what the node says. */
function judge(answer) {
  return ({ shard, receipt, transaction }) => {
    if (shard !== answer.at.shard || SAME.some((name) => receipt[name] !== answer.receipt[name]))
      return "the node says something else of this transaction than its proof shows";
    return same(transaction.operations, answer.transaction.operations)
      ? null
      : "the node says other operations than those that its proof shows";
  };
}

function summary({ receipt, transaction, status }) {
  const outcome =
    receipt.outcome === "ok" ? "ok" : `Failed: ${receipt.failure.code}, operation ${receipt.failure.operation}`;
  return facts(
    ["Id", copied(receipt.id)],
    [
      "Outcome",
      h("span", { class: `tag ${receipt.outcome}` }, outcome),
      " ",
      h("span", { class: "muted" }, receipt.outcome === "ok" ? "" : "nothing of it had an effect"),
    ],
    ["State", status === "certified" ? "final and certified" : "final; certified with the next claim"],
    [
      "Block",
      h("a", { href: blockHref(receipt.height) }, count(receipt.height)),
      `, place ${count(receipt.index)}, `,
      when(receipt.time_ms),
    ],
    ["Sender", account(receipt.sender), `, nonce ${count(receipt.nonce)}`],
    ["Work", `${count(receipt.work)} of at most ${count(transaction.work_limit)} units`],
    ...signatures(transaction),
  );
}

/** Asks again until the transaction is certified, or the page is left. */
async function until(id, signal, take) {
  for (;;) {
    const answer = await read(`/v1/transactions/${id}?proof=1`, signal);
    take(answer);
    if (answer.proof_hex) return;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    if (signal.aborted) return;
  }
}

export async function transaction({ signal }, id) {
  const state = h("p", { class: "lead" });
  const [about, proof, actions] = [h("div", {}), h("div", {}), h("div", {})];
  const element = h("div", { class: "stack" }, h("h1", {}, "Transaction"), state, proof, about, actions);
  let known = false;

  function take(answer) {
    if (answer.status === "pending") {
      say(state, "It waits in this node’s pool. The page shows when it is final.");
      return;
    }
    say(state, "");
    state.hidden = true;
    about.replaceChildren(card(null, summary(answer)));
    const show = (list) =>
      actions.replaceChildren(card(list.length === 1 ? "Operation" : `Operations, all or nothing`, operations(list)));
    show(answer.transaction.operations);
    proof.replaceChildren(
      answer.proof_hex
        ? checked(
            { kind: "transaction", part_hex: answer.transaction_hex, proof_hex: answer.proof_hex },
            {
              signal,
              judge: judge(answer),
              done: (shown) => show(shown.transaction.operations),
              refuse: () => [about, actions].forEach((part) => part.classList.add("doubtful")),
            },
          )
        : unproven(
            "Not certified yet",
            "It is final: a quorum has it on disk. Its receipt can be proven once the next block claims its result; the page goes on asking.",
          ),
    );
  }

  await new Promise((resolve, reject) => {
    until(id, signal, (answer) => {
      take(answer);
      known = true;
      resolve();
    }).catch((error) => {
      if (!known) reject(error);
      else if (error.name !== "AbortError")
        proof.replaceChildren(unproven("Not checked", error.detail ?? error.message));
    });
  });
  return { title: "Transaction", element };
}
