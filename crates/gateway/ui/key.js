// One key of an account: its value or its absence, as the proof shows it and not as the node says it.

import { read } from "./api.js";
import {
  accountHref,
  blockHref,
  bytes,
  card,
  copied,
  count,
  empty,
  facts,
  h,
  idLink,
  readable,
  short,
  toHex,
  transactionHref,
  utf8,
  when,
} from "./dom.js";
import { paged } from "./pages.js";
import { proven } from "./proof.js";

const PAGE = 12;
const VALUE_CHARS = 60;

function words({ value_hex: hex }, { height }) {
  if (hex === null)
    return [
      h("p", { class: "lead" }, "Absent"),
      h("p", { class: "muted" }, `Proven: after height ${count(height)} the account has no such key.`),
    ];
  return [
    h("pre", {}, readable(hex)),
    h("p", { class: "muted" }, `${count(hex.length / 2)} bytes, after height ${count(height)}`),
  ];
}

/** The value of a version in one line of a table. */
function shownValue(version) {
  if (version.removed) return h("span", { class: "muted" }, "removed");
  if (version.value === undefined) return bytes(version.value_hex.length / 2);
  const text = version.value;
  return h("span", { class: "whole" }, text.length > VALUE_CHARS ? `${text.slice(0, VALUE_CHARS)}…` : text);
}

/** The versions of the key as the node lists them; the pages of their transactions are proven. */
const versions = (address, keyHex, signal) =>
  paged(
    "Versions of this key, newest first",
    ["Value", ["Block", "number"], "Time", "Written by"],
    async (next) => {
      const query = next && `&before=${next}`;
      const path = `/v1/accounts/${address}/history/${keyHex}?encoding=hex&limit=${PAGE}${query}`;
      const page = await read(path, signal);
      const rows = page.versions.map((version) => [
        shownValue(version),
        h("a", { href: blockHref(version.height) }, count(version.height)),
        version.time_ms === undefined ? "–" : when(version.time_ms),
        version.transaction ? idLink(transactionHref(version.transaction), version.transaction) : "not kept here",
      ]);
      return { rows, next: page.next };
    },
    empty("No versions", "Nothing was written under this key, or the node no longer keeps it."),
  );

export async function key({ signal }, address, keyHex) {
  const name = utf8(keyHex);
  const [{ place, panel }, written] = await Promise.all([
    proven({ account: address, key_hex: keyHex }, words, signal),
    versions(address, keyHex, signal),
  ]);
  const about = facts(
    ["Account", copied(address, h("a", { class: "mono whole", href: accountHref(address) }, address))],
    ["Key", readable(keyHex)],
    ["In bytes", h("span", { class: "mono whole" }, `0x${keyHex}`)],
  );
  const heading = h("h1", {}, "Key ", h("span", { class: "soft" }, name ?? short(`0x${keyHex}`, 20, 8)));
  return {
    title: name ?? "Key",
    element: h("div", { class: "stack" }, heading, panel, card("Value", place), card("History", written), card(null, about)),
  };
}

/** A form that leads to a key of an account. */
export function keyForm(address, href) {
  const input = h("input", {
    type: "text",
    id: "key-name",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "invoice/17",
  });
  const form = h(
    "form",
    { class: "inline" },
    h("label", { for: "key-name" }, "Look up a key"),
    input,
    h("button", { class: "button", type: "submit" }, "Check"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = href(address, toHex(input.value));
  });
  return form;
}
