// The committee: where its members are, who is connected, who comes next, who was seen to lie.

import { read } from "./api.js";
import { card, copied, count, facts, h, say, short, table } from "./dom.js";
import { live, watch } from "./live.js";
import { map } from "./map.js";
import { regionName } from "./regions.js";

const LINK = {
  self: ["●", "this node"],
  up: ["✓", "connected"],
  down: ["✕", "not connected"],
};

function link(validator, status) {
  const kind =
    validator.name === status?.node ? "self" : (status?.unreachable ?? []).includes(validator.name) ? "down" : "up";
  const [icon, words] = LINK[kind];
  return h("span", { class: `state ${kind}` }, h("span", { "aria-hidden": "true" }, icon), " ", words);
}

const digest = (text) => copied(text, h("span", { class: "mono", title: text }, short(text)));

function members(committee, status) {
  const rows = committee.validators.map((validator, index) => [
    count(index),
    validator.name,
    regionName(validator.region),
    link(validator, status),
    digest(validator.validator_key),
  ]);
  return table(
    "Validators of this epoch",
    [["#", "number"], "Name", "Region", "Link from this node", "Key"],
    rows,
    "names",
  );
}

function change(committee) {
  const keys = (list) => new Map(list.map((validator) => [validator.validator_key, validator.name]));
  const [now, next] = [keys(committee.validators), keys(committee.next)];
  const joins = [...next].filter(([key]) => !now.has(key)).map(([, name]) => name);
  const leaves = [...now].filter(([key]) => !next.has(key)).map(([, name]) => name);
  if (joins.length + leaves.length === 0) return null;
  return card(
    "Next epoch",
    facts(joins.length > 0 && ["Joins", joins.join(", ")], leaves.length > 0 && ["Leaves", leaves.join(", ")]),
  );
}

function evidence(status) {
  if (!status || status.evidence.length === 0) return null;
  const rows = status.evidence.map((one) => [one.name, one.kind.replaceAll("-", " "), one.first, count(one.count)]);
  return card(
    "Seen to sign what no honest validator signs",
    table("Evidence", ["Validator", "What", "First seen", ["Times", "number"]], rows, "names"),
  );
}

const LEGEND = () =>
  h(
    "p",
    { class: "legend" },
    h("span", { class: "key self" }, "this node"),
    h("span", { class: "key up" }, "connected"),
    h("span", { class: "key down" }, "not connected"),
    h("span", { class: "key others" }, "links of others, which this node can’t see"),
  );

export async function validators({ signal }) {
  const committee = await read("/v1/validators", signal);
  if (!live.status) live.status = await read("/v1/status", signal);
  const place = h("div", { class: "map-box" });
  const words = h("p", { class: "note" });
  const list = h("div");
  const element = h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "title" },
      h("h1", {}, "Validators"),
      h("p", { class: "muted" }, `Epoch ${count(committee.epoch)}, ${count(committee.validators.length)} members`),
    ),
    card(null, place, LEGEND(), words),
    card(null, list),
    change(committee),
    evidence(live.status),
  );
  let drawn = "";
  const draw = () => {
    const { status } = live;
    const state = JSON.stringify([status?.node, status?.unreachable]);
    if (state === drawn) return;
    drawn = state;
    const { drawing, summary, placed } = map(committee.validators, status);
    place.replaceChildren(drawing);
    say(
      words,
      placed
        ? `${summary} Places are those of the regions that they name.`
        : `${summary} A validator names its region when it is made (node add).`,
    );
    list.replaceChildren(members(committee, status));
  };
  signal.addEventListener("abort", watch(draw));
  draw();
  return { title: "Validators", element };
}
