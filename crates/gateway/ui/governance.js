// Who governs: operators' seats, their proposals and the pauses, as their proof shows them.

import { read } from "./api.js";
import { changeRows, differences, effect, moment } from "./changes.js";
import { accountHref, blockHref, card, copied, count, empty, facts, h, idLink, short, table, transactionHref } from "./dom.js";
import { provenItems } from "./proof.js";

const LATEST = 12;

const whole = (text) => h("span", { class: "whole" }, text);
const mono = (text) => h("span", { class: "mono", title: text }, short(text));
const seatNames = (numbers) => (numbers.length === 0 ? "none" : numbers.map((number) => `seat ${count(number)}`).join(", "));

/** V38, V40: the record as parameters in force make it. A key that stays keeps its seat, and another gets the next number. */
function inForce(record, { operators, operator_quorum: quorum }) {
  const stored = record ?? { generation: 0, quorum, seats: [], next_seat: 0, open: [], pauses: [] };
  let next = stored.next_seat;
  const seats = operators.map((key) => {
    const held = stored.seats.find((seat) => seat.first_key === key);
    if (held) return held;
    next += 1;
    return { number: next - 1, first_key: key, public_key: key, generation: 0, nonce: 0 };
  });
  const same = stored.quorum === quorum && stored.seats.map((seat) => seat.first_key).join() === operators.join();
  return { ...stored, seats, quorum, generation: stored.generation + (same ? 0 : 1) };
}

/** The places of proposals that count at a time. */
const live = (record, timeMs) =>
  record.open.filter((one) => one.generation === record.generation && one.until_ms > timeMs);

function seatsTable(seats) {
  const rows = seats.map((seat) => [
    count(seat.number),
    copied(seat.first_key, mono(seat.first_key)),
    seat.public_key === seat.first_key
      ? "this key"
      : seat.public_key
        ? mono(seat.public_key)
        : ["several keys, hash ", mono(seat.authority_hash)],
    count(seat.nonce),
  ]);
  return table("Seats of operators", [["Seat", "number"], "Operator’s key", "Acts by", ["Next nonce", "number"]], rows, "names");
}

/** The proposals that count at the time of the proof, each with its place and its approvals that count. */
function openProposals(record, items, timeMs) {
  return live(record, timeMs).map((place) => {
    const { proposal } = items.find((item) => item.type === "proposal" && item.number === place.number) ?? {};
    const counts = ({ seat, generation }) =>
      record.seats.some((one) => one.number === seat && one.generation === generation);
    return { place, proposal, approvals: proposal?.approvals.filter(counts).map(({ seat }) => seat) };
  });
}

/** When a proposal takes effect. One that is made waits for a time that the node says (V46). */
const takesEffect = (proposal, { operators_from_ms: fromMs }) =>
  proposal.made
    ? `it is made: with the first epoch’s end from ${moment(fromMs)} on, or earlier if all seats approve`
    : effect(proposal.change);

function proposalCard({ place, proposal, approvals }, seats, quorum, answer) {
  if (!proposal) return null;
  const changed = differences(answer.wanted, proposal.change);
  const missing = seats.map((seat) => seat.number).filter((number) => !approvals.includes(number));
  return card(
    `Proposal ${count(place.number)}`,
    facts(
      ...changeRows(proposal.change),
      ["Proposed by", `seat ${count(place.seat)}`],
      ["Approved by", `${seatNames(approvals)}; ${count(quorum)} are needed`],
      ["Not approved by", seatNames(missing)],
      ["Open until", moment(proposal.until_ms)],
      ["Takes effect", takesEffect(proposal, answer)],
      ["Hash of the change", copied(proposal.hash)],
    ),
    changed.length > 0
      ? [
          table(`What proposal ${place.number} changes`, ["What", "Now wanted", "Proposed"], changed.map((row) => row.map(whole)), "names"),
          h("p", { class: "note" }, "Compared with what this node says is wanted now."),
        ]
      : null,
  );
}

const pausesCard = (pauses) =>
  pauses.length === 0
    ? null
    : card(
        "Paused",
        facts(
          ...pauses.map((pause) => [
            pause.account ? idLink(accountHref(pause.account), pause.account, 10, 6) : "All accounts",
            `until ${moment(pause.until_ms)}`,
          ]),
        ),
      );

const recordOf = (items) => items.find((item) => item.type === "governance").record;

/** What the proof shows. */
function shownParts(answer, parameters) {
  return (items, shown) => {
    const record = inForce(recordOf(items), parameters);
    const { seats, quorum } = record;
    const timeMs = shown.claimed_by.time_ms;
    const open = openProposals(record, items, timeMs);
    return [
      h("p", {}, `${count(quorum)} of ${count(seats.length)} seats make a change.`),
      seatsTable(seats),
      h("p", { class: "note" }, "The operators’ keys and their quorum are those of the parameters that this node says are in force."),
      open.length === 0 ? h("p", { class: "muted" }, "No proposal is open.") : null,
      open.map((one) => proposalCard(one, seats, quorum, answer)),
      pausesCard(record.pauses.filter((pause) => pause.until_ms > timeMs)),
    ];
  };
}

/** Why a node that leaves a proposal out of its list is refused; null where it leaves none out. */
function leftOut(parameters) {
  return (items, shown) => {
    const asked = new Set(items.map((item) => item.number));
    const gone = live(inForce(recordOf(items), parameters), shown.claimed_by.time_ms).find((one) => !asked.has(one.number));
    return gone ? `the node doesn’t say that proposal ${gone.number} is open` : null;
  };
}

async function acts(seats, signal) {
  const lists = await Promise.all(
    seats.map(async ({ number, sender }) => {
      const page = await read(`/v1/accounts/${sender}/transactions?limit=${LATEST}`, signal);
      return page.transactions.map((one) => ({ ...one, seat: number }));
    }),
  );
  const newest = lists.flat().sort((a, b) => b.height - a.height || b.index - a.index);
  if (newest.length === 0) return empty("No seat has acted", "A seat acts by proposals, approvals and changes of its keys.");
  const rows = newest.slice(0, LATEST).map((one) => [
    idLink(transactionHref(one.id), one.id),
    count(one.seat),
    h("a", { href: blockHref(one.height) }, count(one.height)),
  ]);
  return table("Transactions of seats, newest first", ["Transaction", ["Seat", "number"], ["Block", "number"]], rows);
}

export async function governance({ signal }) {
  const [answer, chain] = await Promise.all([read("/v1/governance", signal), read("/v1/chain", signal)]);
  const heading = h("h1", {}, "Governance");
  if (chain.in_force.version < 2) {
    const words = empty(
      "No seats yet",
      "This chain runs by protocol version 1: its operators decide by approvals of their accounts. From version 2 on each operator has a seat.",
    );
    return { title: "Governance", element: h("div", { class: "stack" }, heading, card(null, words)) };
  }
  const account = answer.account;
  const subjects = [
    { account, governance: true },
    ...answer.proposals.map((proposal) => ({ account, proposal: proposal.number })),
  ];
  const { parameters } = chain.in_force;
  const [{ place, panel }, done] = await Promise.all([
    provenItems(subjects, shownParts(answer, parameters), signal, leftOut(parameters)),
    acts(answer.seats, signal),
  ]);
  const element = h("div", { class: "stack" }, heading, panel, card("Seats and proposals", place), card("What seats did", done));
  return { title: "Governance", element };
}
