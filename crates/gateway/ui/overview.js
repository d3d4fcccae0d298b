// The first page: how high the chain is, how fast, and what came last.

import { read } from "./api.js";
import { chart } from "./charts.js";
import {
  accountHref,
  ago,
  blockHref,
  card,
  count,
  duration,
  empty,
  freshen,
  h,
  idLink,
  rough,
  say,
  table,
  transactionHref,
  when,
} from "./dom.js";
import { height, live, watch } from "./live.js";

const SPAN_MS = 120_000;
const LISTED = 10;
const RECEIPTS_EVERY_MS = 1000;
const RATE_OVER_S = 10;
/** More dots than these only cover each other. */
const DOTS_MAX = 600;

function figure(label, note) {
  const value = h("p", { class: "figure" }, "–");
  const small = h("p", { class: "muted" }, note);
  return { element: h("div", { class: "figure-box" }, h("h2", {}, label), value, small), value, small };
}

/** Transactions by the second of their block's time, oldest first; only seconds that have some. */
function seconds(now, blocks) {
  const sums = new Map();
  for (let index = blocks.length - 1; index >= 0 && now - blocks[index].time_ms < SPAN_MS; index -= 1) {
    const second = Math.floor(blocks[index].time_ms / 1000);
    sums.set(second, (sums.get(second) ?? 0) + blocks[index].receipts);
  }
  return sums;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)];
}

function throughputWords(now, sums) {
  const second = Math.floor(now / 1000);
  let recent = 0;
  for (let before = 1; before <= RATE_OVER_S; before += 1) recent += sums.get(second - before) ?? 0;
  const most = Math.max(0, ...sums.values());
  const rate = recent / RATE_OVER_S;
  return {
    rate,
    figure: rough(rate),
    summary: `Transactions a second over two minutes: ${rough(rate)} now, ${count(most)} at most.`,
    none: "No transaction in the last two minutes",
  };
}

function latencyWords(marks) {
  const middle = median(marks.map((mark) => mark.value));
  return {
    middle,
    figure: middle === null ? "–" : duration(middle),
    summary:
      middle === null
        ? "This page has not seen a final block yet."
        : `Time to final over two minutes: median ${duration(middle)}.`,
    none: "Measured from the next block on",
  };
}

/** The table's rows are replaced only when what they show is another. */
function refill(list, key, rows) {
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.body.replaceChildren(...rows().map(list.makeRow));
}

function newest(blocks) {
  refill(blocks, String(live.blocks.at(-1)?.height), () =>
    live.blocks
      .slice(-LISTED)
      .reverse()
      .map((block) => [
        h("a", { href: blockHref(block.height) }, count(block.height)),
        count(block.receipts),
        when(block.time_ms),
      ]),
  );
}

/** Follows the newest receipts, at most one question a second. */
function receipts(list, signal) {
  const state = { of: -1, asking: false, asked: 0 };
  return async () => {
    const block = live.blocks.findLast((one) => one.receipts > 0);
    if (!block || block.height === state.of || state.asking || Date.now() - state.asked < RECEIPTS_EVERY_MS) return;
    Object.assign(state, { asking: true, asked: Date.now() });
    try {
      const from = live.blocks
        .filter((one) => one.receipts > 0)
        .slice(-LISTED)
        .reverse();
      const rows = [];
      for (const { height: at } of from) {
        if (rows.length >= LISTED) break;
        const page = await read(`/v1/blocks/${at}/receipts?limit=${LISTED}`, signal);
        rows.push(...page.receipts);
      }
      state.of = block.height;
      refill(list, String(block.height), () =>
        rows
          .slice(0, LISTED)
          .map((receipt) => [
            idLink(transactionHref(receipt.id), receipt.id),
            idLink(accountHref(receipt.sender), receipt.sender, 8, 4),
            h("span", { class: `tag ${receipt.outcome}` }, receipt.outcome === "ok" ? "ok" : "Failed"),
            when(receipt.time_ms),
          ]),
      );
    } catch (error) {
      // The connection's state is shown above; the next block asks again.
      if (error.name !== "AbortError") state.asked = Date.now();
    } finally {
      state.asking = false;
    }
  };
}

const firstSteps = () =>
  card(
    null,
    empty(
      "The chain waits for its first transaction",
      "An idle chain makes no blocks. Send a transaction, and it appears here at once:",
      h("pre", {}, h("code", {}, "rustorium tx put --net net/devnet.json --key KEY_FILE hello world")),
    ),
  );

export function overview({ signal }) {
  const tip = figure("Final height", "");
  const rate = figure("Transactions a second", `average of ${RATE_OVER_S} s`);
  const latency = figure("Time to final", "median of two minutes");
  const committee = figure("Validators connected", "");
  const throughput = chart({
    heading: "Throughput",
    note: "Transactions of each second, by their block’s time.",
    unit: rough,
    spanMs: SPAN_MS,
    barMs: 1000,
  });
  const finality = chart({
    heading: "Finality",
    note: "From a block’s proposal until this page received it, final and executed.",
    unit: duration,
    spanMs: SPAN_MS,
  });
  const blocks = table("Newest blocks", ["Height", ["Transactions", "number"], ["Time", "number"]], []);
  const transactions = table(
    "Newest transactions",
    ["Transaction", "Sender", "Outcome", ["Time", "number"]],
    [],
    "pairs",
  );
  const charts = h("div", { class: "two" }, throughput.element, finality.element);
  const lists = h("div", { class: "two" }, card("Newest blocks", blocks), card("Newest transactions", transactions));
  const start = firstSteps();
  const health = h("p", { class: "health", role: "status" });
  const element = h(
    "div",
    { class: "stack" },
    h("h1", { class: "hidden" }, "Overview"),
    h(
      "section",
      { class: "figures", "aria-label": "The chain now" },
      tip.element,
      rate.element,
      latency.element,
      committee.element,
    ),
    health,
    start,
    charts,
    lists,
  );
  const follow = receipts(transactions, signal);

  function draw() {
    const now = Date.now();
    const sums = seconds(now, live.blocks);
    const marks = live.blocks
      .filter((block) => block.latencyMs !== null && now - block.time_ms < SPAN_MS)
      .map((block) => ({ at: block.time_ms, value: block.latencyMs }));
    const [rates, times] = [throughputWords(now, sums), latencyWords(marks)];
    throughput.update(
      now,
      [...sums].filter(([, value]) => value > 0).map(([second, value]) => ({ at: second * 1000, value })),
      rates,
    );
    const each = Math.ceil(marks.length / DOTS_MAX);
    finality.update(
      now,
      marks.filter((_, index) => index % each === 0),
      times,
    );
    say(tip.value, count(height()));
    const last = live.blocks.at(-1);
    say(tip.small, last ? `newest block ${ago(now - last.time_ms)}` : height() === 0 ? "no block yet" : "");
    say(rate.value, rates.figure);
    say(latency.value, times.figure);
    condition(committee, health);
    const idle = height() === 0 && live.status !== null;
    start.hidden = !idle;
    charts.hidden = lists.hidden = idle;
    newest(blocks);
    follow();
  }
  const ends = watch(draw);
  const timer = setInterval(() => {
    draw();
    freshen(element);
  }, 1000);
  signal.addEventListener("abort", () => {
    ends();
    clearInterval(timer);
  });
  queueMicrotask(draw);
  return { title: "Overview", element };
}

function condition(committee, health) {
  const { status } = live;
  if (!status) return;
  const itself = status.role === "validator" ? 1 : 0;
  say(committee.value, `${status.peers_up + itself} of ${status.peers + itself}`);
  say(committee.small, `epoch ${count(status.epoch)}, seen by ${status.node}`);
  const wrong = status.ready
    ? status.findings.map((finding) => `${finding.evidence}: ${finding.advice}`)
    : [status.not_ready_because];
  health.hidden = wrong.length === 0;
  say(health, wrong.join(" · "));
}
