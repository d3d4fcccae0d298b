// The committee: where its members are, who is connected, who comes next, who was seen to lie.

import { read } from "./api.js";
import { card, copied, count, facts, h, say, short, table } from "./dom.js";
import { live, watch } from "./live.js";
import { map, milliseconds } from "./map.js";
import { follow, originWords } from "./origins.js";
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

function trip(validator, status) {
  const us = status?.round_trips_us?.[validator.name];
  return us === undefined ? "–" : milliseconds(us);
}

const digest = (text) => copied(text, h("span", { class: "mono", title: text }, short(text)));

function members(committee, status) {
  const rows = committee.validators.map((validator, index) => [
    count(index),
    validator.name,
    regionName(validator.region),
    link(validator, status),
    trip(validator, status),
    digest(validator.validator_key),
  ]);
  return table(
    "Validators of this epoch",
    [["#", "number"], "Name", "Region", "Link from this node", ["Round trip", "number"], "Key"],
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
    h("span", { class: "key origin" }, "accounts of the newest transactions"),
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
  let from = { counts: [], seen: 0 };
  const draw = () => {
    const { status } = live;
    const state = JSON.stringify([status?.node, status?.unreachable, status?.round_trips_us, from]);
    if (state === drawn) return;
    drawn = state;
    const { drawing, summary, placed } = map(committee.validators, status, from);
    place.replaceChildren(drawing);
    const origin = placed ? originWords(from.counts, from.seen) : "";
    say(
      words,
      placed
        ? `${summary} Places are those of the regions that they name. ${origin}`.trim()
        : `${summary} A validator names its region when it is made (node add).`,
    );
    list.replaceChildren(members(committee, status));
  };
  const origins = follow((counts, seen) => {
    from = { counts, seen };
    draw();
  }, signal);
  const look = () => {
    draw();
    origins();
  };
  signal.addEventListener("abort", watch(look));
  look();
  return { title: "Validators", element };
}
