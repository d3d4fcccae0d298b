// Who acts for an account, and how that can change, as rows.

import { accountHref, count, h, idLink, when } from "./dom.js";

const whole = (text) => h("span", { class: "mono whole" }, text);
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

/** Keys, and how many of them must sign. */
export const authority = ({ threshold, keys }) => [
  ["Authority", `${count(threshold)} of ${count(keys.length)} keys`],
  ...keys.map((key, place) => [`Key ${count(place)}`, whole(key)]),
];

/** A duration in its largest whole unit. */
function span(ms) {
  const [name, unit] = UNITS.find(([, unit]) => ms % unit === 0) ?? ["ms", 1];
  return `${count(ms / unit)} ${name}${ms === unit || unit === 1 ? "" : "s"}`;
}

/** Settings of an account: keys, delay, recovery account. */
export function settings({ authority: keys, delay_ms = 0, recovery = null }) {
  const wait = Math.max(delay_ms, recovery?.delay_ms ?? 0);
  return [
    ...authority(keys),
    ["Changes wait", wait ? span(wait) : "not at all"],
    ["Recovery account", recovery ? idLink(accountHref(recovery.account), recovery.account, 10, 6) : "none"],
    ...(recovery
      ? [
          ["A recovery waits", span(recovery.delay_ms)],
          [
            "The keys",
            recovery.final ? "can’t cancel a recovery, and the account is frozen meanwhile" : "can cancel a recovery",
          ],
        ]
      : []),
  ];
}

/** The change that waits. */
export const pending = (change) => [
  ["Begun by", change.by === "recovery" ? "the recovery account" : "the account’s keys"],
  ["Takes effect", when(change.due_ms)],
  ...settings(change),
  ["Earlier grants", change.void_grants ? "become void" : "stay"],
  ["Hash of the change", whole(change.change)],
];
