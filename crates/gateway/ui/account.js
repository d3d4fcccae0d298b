// An account: its record and balances with their proofs, its keys, its transactions.

import { read } from "./api.js";
import {
  accountHref,
  balanceHref,
  blockHref,
  bytes,
  card,
  copied,
  count,
  empty,
  facts,
  h,
  idLink,
  keyHref,
  readable,
  transactionHref,
} from "./dom.js";
import { keyForm } from "./key.js";
import { paged } from "./pages.js";
import { proven } from "./proof.js";
import { regionName } from "./regions.js";
import { pending, settings } from "./settings.js";

const PAGE = 12;

const keys = (address, signal, prefix) =>
  paged(
    "Keys of this account",
    ["Key", ["Size", "number"]],
    async (next) => {
      const query = new URLSearchParams({ limit: PAGE, prefix });
      if (next) query.set("cursor", next);
      const page = await read(`/v1/accounts/${address}/keys?${query}`, signal);
      const rows = page.keys.map((key) => [
        h("a", { href: keyHref(address, key.key_hex) }, readable(key.key_hex)),
        bytes(key.value_bytes),
      ]);
      return { rows, next: page.next };
    },
    prefix
      ? empty(`No key begins with “${prefix}”`, "Upper and lower case differ.")
      : empty("No keys", "Nothing was written under this address, or all of it was removed."),
  );

/** The keys, in no order that means anything, and a field that leaves those with a prefix. */
async function keyList(address, signal) {
  const place = h("div", { "aria-live": "polite" }, await keys(address, signal, ""));
  const input = h("input", {
    type: "text",
    id: "key-prefix",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "invoice/",
  });
  const form = h(
    "form",
    { class: "inline" },
    h("label", { for: "key-prefix" }, "Keys that begin with"),
    input,
    h("button", { class: "button quiet", type: "submit" }, "List"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const prefix = input.value;
    const list = await keys(address, signal, prefix).catch((error) => empty("Not listed", error.detail ?? error.message));
    if (input.value === prefix) place.replaceChildren(list);
  });
  return [form, place];
}

const holdings = (address, signal) =>
  paged(
    "Assets of this account",
    ["Asset", ["Smallest units", "number"]],
    async (next) => {
      const query = next && `&cursor=${next}`;
      const page = await read(`/v1/accounts/${address}/balances?limit=${PAGE}${query}`, signal);
      const rows = page.balances.map((one) => [idLink(balanceHref(address, one.asset), one.asset), count(one.balance)]);
      return { rows, next: page.next };
    },
    empty("No assets", "Nothing was issued or transferred to this account, or all of it was spent."),
  );

const transactions = (address, signal) =>
  paged(
    "Transactions of this account, newest first",
    ["Transaction", ["Block", "number"], ["Place", "number"]],
    async (next) => {
      const page = await read(`/v1/accounts/${address}/transactions?limit=${PAGE}${next && `&before=${next}`}`, signal);
      const rows = page.transactions.map((one) => [
        idLink(transactionHref(one.id), one.id),
        h("a", { href: blockHref(one.height) }, count(one.height)),
        count(one.index),
      ]);
      return { rows, next: page.next };
    },
    empty("This account sent no transaction", "Transactions that others sent to it are listed in their accounts."),
  );

function recordFacts(address, record) {
  return facts(
    ["Address", copied(address)],
    record.public_key
      ? ["Public key", h("span", { class: "mono whole" }, record.public_key)]
      : ["Hash of its keys", h("span", { class: "mono whole" }, record.authority_hash)],
    ["Home region", regionName(record.region)],
    ["Next nonce", count(record.nonce)],
    ["Sponsor", record.sponsor ? count(record.sponsor) : "common"],
    ["Drawn and not used", `${count(record.quota_left)} work units, ${bytes(record.history_left)} of history`],
    ["Storage left", bytes(record.storage_bytes_left)],
  );
}

/** The settings of an account, once their proof is verified. */
const settingsFacts = ({ custody }) =>
  custody === null
    ? [h("p", { class: "muted" }, "It has neither a delay nor a recovery account.")]
    : [
        facts(...settings(custody)),
        ...(custody.pending ? [h("h3", {}, "A change waits"), facts(...pending(custody.pending))] : []),
      ];

async function showSettings(place, address, signal) {
  const { place: shown, panel } = await proven({ account: address, authority: true }, settingsFacts, signal);
  place.replaceChildren(card("How its keys change", panel, shown));
}

export async function account({ signal }, address) {
  const absent = [
    h("p", { class: "lead" }, "There is no such account"),
    h("p", { class: "muted" }, "Check the address. Accounts are created by transactions of existing accounts."),
    facts(["Address", copied(address)]),
  ];
  const custody = h("div", {});
  const words = ({ record }) => {
    if (record === null) return absent;
    if (record.custody) {
      const failed = () => custody.replaceChildren(h("p", { class: "muted" }, "How its keys change can’t be shown now."));
      showSettings(custody, address, signal).catch(failed);
    }
    return recordFacts(address, record);
  };
  const [{ place, panel }, listed, held, sent] = await Promise.all([
    proven({ account: address }, words, signal),
    keyList(address, signal),
    holdings(address, signal),
    transactions(address, signal),
  ]);
  const element = h(
    "div",
    { class: "stack" },
    h("h1", {}, "Account"),
    panel,
    card(null, place),
    custody,
    card("Keys", keyForm(address, keyHref), listed),
    card("Assets", balanceForm(address), held),
    card("Transactions", sent),
  );
  return { title: "Account", element };
}

function balanceForm(address) {
  const input = h("input", {
    type: "text",
    id: "asset",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "64 hex digits",
    pattern: "[0-9a-fA-F]{64}",
    required: true,
    title: "An asset’s id: 64 hex digits",
  });
  const form = h(
    "form",
    { class: "inline" },
    h("label", { for: "asset" }, "Balance of an asset"),
    input,
    h("button", { class: "button", type: "submit" }, "Check"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = balanceHref(address, input.value.toLowerCase());
  });
  return form;
}

export async function balance({ signal }, address, asset) {
  const words = ({ balance: units }, { height }) => [
    h("p", { class: "figure" }, count(units)),
    h("p", { class: "muted" }, `smallest units, after height ${count(height)}`),
  ];
  const { place, panel } = await proven({ account: address, asset }, words, signal);
  const about = facts(
    ["Account", copied(address, h("a", { class: "mono whole", href: accountHref(address) }, address))],
    ["Asset", copied(asset)],
  );
  return {
    title: "Balance",
    element: h("div", { class: "stack" }, h("h1", {}, "Balance"), panel, card(null, place), card(null, about)),
  };
}
