// Makes elements, and puts numbers, times and ids into words. No text ever becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; children are nodes or text. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets a text where it is another one, so that what stays isn't drawn again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const WHOLE = new Intl.NumberFormat("en-US");
const SHORT = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

/** A whole number with its thousands apart; decimal strings of any length, too. */
export const count = (number) => WHOLE.format(typeof number === "string" ? BigInt(number) : number);

/** A number in three digits. */
export const rough = (number) => SHORT.format(number);

/** A duration: "4.2 ms", "1.3 s", "2 min". */
export function duration(ms) {
  if (ms < 1000) return `${rough(ms)} ms`;
  if (ms < 60_000) return `${rough(ms / 1000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h`;
  return `${count(Math.floor(ms / 86_400_000))} d`;
}

/** Bytes: "640 B", "1.2 MiB". */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${rough(number)} ${units[unit]}`;
}

/** A sentence as it begins on its own: what nodes and proofs say starts small. */
export const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}${/[.!?…]$/.test(words) ? "" : "."}`;

/** How long ago, in words. */
export const ago = (ms) =>
  ms < 1500 ? "just now" : `${ms < 60_000 ? `${Math.round(ms / 1000)} s` : duration(ms)} ago`;

/** A time that goes on saying how long ago it was; the exact one is its title. */
export function when(timeMs) {
  const date = new Date(timeMs);
  const element = h("time", { datetime: date.toISOString(), title: date.toLocaleString() });
  say(element, ago(Date.now() - timeMs));
  return element;
}

/** Says again how long ago all times below `root` were. */
export function freshen(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    say(element, ago(Date.now() - Date.parse(element.dateTime)));
  }
}

/** An id in short, with the whole of it for whoever copies, hovers or listens. */
export function short(text, head = 8, tail = 6) {
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
}

/** A link to where an id is shown. */
export const idLink = (href, id, head, tail) =>
  h("a", { class: "mono", href, title: id, "aria-label": id }, short(id, head, tail));

export const blockHref = (block) => `#/blocks/${block}`;
export const transactionHref = (id) => `#/transactions/${id}`;
export const accountHref = (address) => `#/accounts/${address}`;
export const keyHref = (address, keyHex) => `#/accounts/${address}/keys/${keyHex}`;
export const balanceHref = (address, asset) => `#/accounts/${address}/balances/${asset}`;

/** A whole id with a button that copies it. */
export function copied(text, link) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${short(text)}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(button, "Copied");
    } catch {
      say(button, "Select it");
    }
    setTimeout(() => say(button, "Copy"), 1500);
  });
  return h("span", { class: "copied" }, link ?? h("span", { class: "mono whole" }, text), button);
}

/** Bytes in hex digits as UTF-8 text; null where they are none. */
export function utf8(hex) {
  try {
    const raw = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    const text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
    // Control characters are no text that a person reads.
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Text as its UTF-8 bytes in hex digits. */
export const toHex = (text) => hexOf(new TextEncoder().encode(text));

/** The same with its value in hex digits, as proofs show it: a node shows a value once, as text or in digits. */
export const inDigits = (said) =>
  typeof said?.value === "string" && (said.value_hex ?? null) === null
    ? { ...said, value_hex: toHex(said.value) }
    : said;

/** Bytes in hex digits. */
export function hexOf(raw) {
  let digits = "";
  for (const byte of raw) digits += byte.toString(16).padStart(2, "0");
  return digits;
}

/** A key or value: as text where it is text, in hex digits where it isn't. */
export function readable(hex) {
  if (hex === "") return h("span", { class: "muted" }, "empty");
  const text = utf8(hex);
  return text === null ? h("span", { class: "mono whole" }, "0x", hex) : h("span", { class: "whole text" }, text);
}

/** A list of names and values. */
export const facts = (...rows) =>
  h(
    "dl",
    { class: "facts" },
    rows.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

/**
 * A table. `columns`: names, or `[name, class]`. `narrow`: how it is laid out on a narrow screen: "names", each cell with its
 * column's name, or "pairs", two lines of two cells; without it as it is.
 */
export function table(caption, columns, rows, narrow) {
  const named = columns.map((column) => (Array.isArray(column) ? column : [column, undefined]));
  const body = h("tbody");
  const row = (cells) =>
    h(
      "tr",
      {},
      cells.map((cell, index) => h("td", { class: named[index][1], "data-column": named[index][0] }, cell)),
    );
  body.append(...rows.map(row));
  const head = h(
    "thead",
    {},
    h(
      "tr",
      {},
      named.map(([name, style]) => h("th", { scope: "col", class: style }, name)),
    ),
  );
  const element = h("table", { "data-narrow": narrow }, h("caption", { class: "hidden" }, caption), head, body);
  return Object.assign(element, { makeRow: row, body });
}

/** A part of the page with a heading. */
export const card = (heading, ...children) =>
  h("section", { class: "card" }, heading ? h("h2", {}, heading) : null, children);

/** What stands where there is nothing yet. */
export const empty = (heading, ...lines) =>
  h(
    "div",
    { class: "empty" },
    h("p", { class: "lead" }, heading),
    lines.map((line) => (line instanceof Node ? line : h("p", {}, line))),
  );
