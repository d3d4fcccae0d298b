// Changes that operators' seats decide, in words and as differences.

import { count, h, readable } from "./dom.js";

/** A time that may be ahead, in words. */
export const moment = (ms) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;

const whom = ({ account }) => (account ? `the account ${account}` : "all accounts");

/** A change as a sentence without its end. */
export function changeText(change) {
  switch (change.type) {
    case "add_validator":
      return `Add the validator with key ${change.validator_key}`;
    case "remove_validator":
      return `Remove the validator with key ${change.validator_key}`;
    case "replace_key":
      return `Replace the validator key ${change.validator_key} by ${change.new_validator_key}`;
    case "set_owner":
      return `Let the key ${change.new_owner_key} own the validator with key ${change.validator_key}`;
    case "end_epoch":
      return `End epoch ${count(change.epoch)} as soon as it can end`;
    case "set_parameters":
      return "Change the chain’s parameters";
    case "set_operators":
      return `Make ${count(change.quorum)} of ${count(change.operators.length)} operators decide`;
    case "pause":
      return `Pause ${whom(change)} until ${moment(change.until_ms)}`;
    case "resume":
      return `End the pause of ${whom(change)}`;
    case "set_sponsor": {
      const [work, history] = [change.work_ppm, change.history_ppm].map((ppm) => `${ppm / 10_000} %`);
      const until = change.until_ms ? ` until ${moment(change.until_ms)}` : "";
      return `Give the sponsor of the account ${change.account} ${work} of the work and ${history} of the history${until}`;
    }
    case "assign_sponsor":
      return `Let the account ${change.account} draw from ${change.sponsor === 0 ? "the common sponsor" : `sponsor ${count(change.sponsor)}`}`;
    case "upgrade":
      return `Go on by protocol version ${count(change.version)}, not before ${moment(change.not_before_ms)}, once enough members speak it, or stay with it`;
    default:
      return `Change: ${JSON.stringify(change)}`;
  }
}

/** A change as rows of facts. */
export function changeRows(change) {
  const whole = (text) => h("span", { class: "whole" }, text);
  const rows = [["Change", whole(changeText(change))]];
  if (change.name_hex) rows.push(["Name", readable(change.name_hex)]);
  else if (change.name) rows.push(["Name", change.name]);
  if (change.type === "set_operators") rows.push(...change.operators.map((key, place) => [`Key ${count(place)}`, whole(key)]));
  return rows;
}

const AT_ONCE = ["end_epoch", "pause", "resume", "set_sponsor", "assign_sponsor"];

/** When a change takes effect once it is made. */
export const effect = ({ type }) => (AT_ONCE.includes(type) ? "at once" : "with an epoch’s end");

/** Parameters by their names; a part of one has a name with a dot. */
function parts(parameters) {
  const found = new Map();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [part, one] of Object.entries(value)) found.set(`${name}.${part}`, one);
    } else found.set(name, value);
  }
  return found;
}

/** What a change makes of the parameters that are wanted now: rows of a name, the value now, and the new one. */
export function differences(wanted, change) {
  const word = (value) => (value === undefined ? "–" : JSON.stringify(value));
  if (change.type === "set_parameters") {
    const [old, next] = [parts(wanted), parts(change.parameters)];
    const names = [...new Set([...old.keys(), ...next.keys()])].sort();
    return names
      .map((name) => [name, word(old.get(name)), word(next.get(name))])
      .filter(([, before, after]) => before !== after);
  }
  if (change.type === "set_operators") {
    const gone = wanted.operators.filter((key) => !change.operators.includes(key));
    const come = change.operators.filter((key) => !wanted.operators.includes(key));
    const quorum = [["quorum", String(wanted.operator_quorum), String(change.quorum)]];
    return [
      ...gone.map((key) => ["operator", key, "–"]),
      ...come.map((key) => ["operator", "–", key]),
      ...quorum.filter(([, before, after]) => before !== after),
    ];
  }
  return [];
}
