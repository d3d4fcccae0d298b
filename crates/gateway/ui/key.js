// One key of an account: its value or its absence, as the proof shows it and not as the node says it.

import { accountHref, card, copied, count, facts, h, readable, short, toHex, utf8 } from "./dom.js";
import { proven } from "./proof.js";

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

export async function key({ signal }, address, keyHex) {
  const name = utf8(keyHex);
  const { place, panel } = await proven({ account: address, key_hex: keyHex }, words, signal);
  const about = facts(
    ["Account", copied(address, h("a", { class: "mono whole", href: accountHref(address) }, address))],
    ["Key", readable(keyHex)],
    ["In bytes", h("span", { class: "mono whole" }, `0x${keyHex}`)],
  );
  const heading = h("h1", {}, "Key ", h("span", { class: "soft" }, name ?? short(`0x${keyHex}`, 20, 8)));
  return {
    title: name ?? "Key",
    element: h("div", { class: "stack" }, heading, card("Value", place), panel, card(null, about)),
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
