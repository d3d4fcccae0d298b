// Where the validators are: a map of the world, or a ring where nobody says a place; links between them.

import { s, short } from "./dom.js";
import { HEIGHT, LAND, project, WIDTH } from "./land.js";
import { regionName, regionPlace } from "./regions.js";

const RING = { width: 1000, height: 340, radius: 120 };

/** Dots and words are larger where the map is small. */
const larger = () => (matchMedia("(max-width: 860px)").matches ? 2.2 : 1);

/** Groups of validators of one place: `{ name, at, members }`. */
function groups(validators) {
  const found = new Map();
  for (const validator of validators) {
    const place = regionPlace(validator.region);
    if (!place) continue;
    const name = place.join();
    const group = found.get(name) ?? { at: project(place), members: [], regions: new Set() };
    group.members.push(validator);
    group.regions.add(regionName(validator.region));
    found.set(name, group);
  }
  return [...found.values()];
}

/** A curve between two places; it bends towards the pole as the way over a globe does. */
function arc([ax, ay], [bx, by]) {
  const lift = Math.min(Math.hypot(bx - ax, by - ay) * 0.22, 110);
  return `M${ax.toFixed(1)} ${ay.toFixed(1)}Q${((ax + bx) / 2).toFixed(1)} ${((ay + by) / 2 - lift).toFixed(1)} ${bx.toFixed(1)} ${by.toFixed(1)}`;
}

const state = (validator, self, down) => (validator.name === self ? "self" : down.has(validator.name) ? "down" : "up");

/** How the link between two groups is drawn: from this node, up or down; between others nobody here knows. */
function linkStyle(one, other, self, down) {
  const here = [one, other].find((group) => group.members.some((member) => member.name === self));
  if (!here) return "link others";
  const there = here === one ? other : one;
  return there.members.some((member) => down.has(member.name)) ? "link down" : "link up";
}

/** The shortest round trip that this node has measured to a member of the group on the other side; null if to none. */
function roundTrip(one, other, self, tripsUs) {
  const there = [one, other].find((group) => !group.members.some((member) => member.name === self));
  const known = (there?.members ?? []).map((member) => tripsUs[member.name]).filter((us) => us !== undefined);
  return known.length > 0 ? Math.min(...known) : null;
}

/** Microseconds as a person says them. */
export const milliseconds = (us) => `${us < 10_000 ? (us / 1000).toFixed(1) : Math.round(us / 1000)} ms`;

function links(all, self, down, way, tripsUs) {
  const found = [];
  all.forEach((one, index) =>
    all.slice(index + 1).forEach((other) => {
      const style = linkStyle(one, other, self, down);
      const us = style === "link up" ? roundTrip(one, other, self, tripsUs) : null;
      found.push({ style, d: way(one.at, other.at), us });
    }),
  );
  // What is known lies above what isn't.
  return found
    .toSorted((a, b) => a.style.localeCompare(b.style))
    .map(({ style, d, us }) => s("path", { class: style, d }, us === null ? null : s("title", {}, `${milliseconds(us)} there and back`)));
}

/** Discs whose areas are as the numbers of transactions of accounts that are at home there. */
function origins(counts, seen) {
  return counts
    .map(([region, number]) => ({ region, number, place: regionPlace(region) }))
    .filter((one) => one.place)
    .map(({ region, number, place }) => {
      const [x, y] = project(place);
      const words = `${regionName(region)}: accounts of ${number} of the newest ${seen} transactions`;
      return s("circle", { class: "origin", cx: x, cy: y, r: 60 * Math.sqrt(number / seen) }, s("title", {}, words));
    });
}

function dot(group, self, down, size) {
  const [x, y] = group.at;
  const kinds = group.members.map((member) => state(member, self, down));
  const kind = ["self", "down", "up"].find((one) => kinds.includes(one));
  const radius = size * Math.sqrt(group.members.length) + 3;
  const names = group.members.map((member) => member.name).join(", ");
  const arm = 0.7 * size;
  const cross = kinds.includes("down")
    ? s("path", {
        class: "cross",
        d: `M${x - arm} ${y - arm}l${2 * arm} ${2 * arm}m0 ${-2 * arm}l${-2 * arm} ${2 * arm}`,
      })
    : null;
  return s(
    "g",
    { class: `place ${kind}` },
    s("title", {}, `${[...group.regions].join(", ")}: ${names}`),
    s("circle", { cx: x, cy: y, r: radius }),
    cross,
  );
}

/** Labels, each above or below its dot, and left out where it would lie on another. */
function labels(all, width, words, size) {
  const taken = [];
  const high = size * 1.1;
  return all.map((group) => {
    const text = words(group);
    const half = text.length * size * 0.3;
    const x = Math.min(Math.max(group.at[0], half + 4), width - half - 4);
    const free = [-0.8, 1.6, -1.9, 2.7]
      .map((lines) => group.at[1] + lines * size)
      .find((y) => y > high && taken.every(([tx, ty, th]) => Math.abs(tx - x) > th + half || Math.abs(ty - y) > high));
    if (free === undefined) return null;
    taken.push([x, free, half]);
    return s("text", { class: "place-name", x, y: free, "text-anchor": "middle", "font-size": size }, text);
  });
}

function world(all, self, down, summary, tripsUs, from) {
  const meridians = [-120, -60, 0, 60, 120].map((east) => `M${project([0, east])[0]} 0V${HEIGHT}`);
  const parallels = [60, 30, 0, -30].map((north) => `M0 ${project([north, 0])[1]}H${WIDTH}`);
  const here = all.find((group) => group.members.some((member) => member.name === self));
  const name = (group) => {
    const [region] = group.regions;
    const us = here && group !== here ? roundTrip(here, group, self, tripsUs) : null;
    const many = group.members.length > 1 ? `${region} × ${group.members.length}` : region;
    return us === null ? many : `${many}, ${milliseconds(us)}`;
  };
  return s(
    "svg",
    { class: "map", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary },
    s("path", { class: "graticule", d: [...meridians, ...parallels].join("") }),
    s("path", { class: "land", d: LAND }),
    origins(from.counts, from.seen),
    links(all, self, down, arc, tripsUs),
    all.map((group) => dot(group, self, down, 7 * larger())),
    labels(all, WIDTH, name, 21 * larger()),
  );
}

function ring(validators, self, down, summary, tripsUs) {
  const { width, height, radius } = RING;
  const all = validators.map((validator, index) => {
    const angle = (index / validators.length) * 2 * Math.PI - Math.PI / 2;
    const at = [width / 2 + radius * 1.6 * Math.cos(angle), height / 2 + radius * Math.sin(angle)];
    return { at, members: [validator], regions: new Set([regionName(validator.region)]) };
  });
  return s(
    "svg",
    { class: "map ring", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary },
    links(all, self, down, (from, to) => `M${from}L${to}`, tripsUs),
    all.map((group) => dot(group, self, down, 6 * larger())),
    labels(all, width, (group) => short(group.members[0].name, 20, 6), 15 * larger()),
  );
}

/** The drawing, and what it says in words. `from`: transactions by the region of their accounts, and their number. */
export function map(validators, status, from) {
  // A node of 0.2.0 or before says no round trips.
  const tripsUs = status?.round_trips_us ?? {};
  const down = new Set(status?.unreachable ?? []);
  const self = status?.node;
  const all = groups(validators);
  const away = validators.filter((validator) => validator.name !== self);
  const reached = away.filter((validator) => !down.has(validator.name)).length;
  const places =
    all.length > 0 ? `in ${all.length} ${all.length === 1 ? "place" : "places"}` : "of which none names a region on the map";
  const summary = `${validators.length} validators ${places}; ${self} is connected to ${reached} of ${away.length} others.`;
  return {
    drawing:
      all.length > 0 ? world(all, self, down, summary, tripsUs, from) : ring(validators, self, down, summary, tripsUs),
    summary,
    placed: all.length > 0,
  };
}
