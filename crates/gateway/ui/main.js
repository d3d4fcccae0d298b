// The page's frame: which view is shown, the search, the colours, and whether the node is reached.

import { account, balance } from "./account.js";
import { exists, Problem, read } from "./api.js";
import { block, blocks } from "./blocks.js";
import {
  accountHref,
  balanceHref,
  blockHref,
  card,
  empty,
  freshen,
  h,
  keyHref,
  s,
  say,
  sentence,
  short,
  toHex,
  transactionHref,
} from "./dom.js";
import { governance } from "./governance.js";
import { help } from "./help.js";
import { key } from "./key.js";
import { height, live, start, watch } from "./live.js";
import { overview } from "./overview.js";
import { hrefIn, shard } from "./shards.js";
import { tokenForm, wantsToken } from "./token.js";
import { transaction } from "./transaction.js";
import { validators } from "./validators.js";

const main = document.getElementById("main");
const progress = document.getElementById("progress");
const FRESHEN_EVERY_MS = 5000;

/** Patterns of addresses behind the `#`, and what shows them. */
const ROUTES = [
  [/^\/$/, "overview", overview],
  [/^\/blocks$/, "blocks", blocks],
  [/^\/blocks\/([^/]+)$/, "blocks", block],
  [/^\/transactions\/([^/]+)$/, "blocks", transaction],
  [/^\/accounts\/([^/]+)$/, "accounts", account],
  [/^\/accounts\/([^/]+)\/keys\/([0-9a-f]*)$/, "accounts", key],
  [/^\/accounts\/([^/]+)\/balances\/([^/]+)$/, "accounts", balance],
  [/^\/validators$/, "validators", validators],
  [/^\/governance$/, "governance", governance],
  [/^\/help$/, "help", help],
  [/^\/search\/(.*)$/, "search", found],
];

/** The shards of the net, where it has several: number, and whether this node hosts it. */
let shards = [];

let current = new AbortController();
let first = true;
/** Whether what is shown is that the node wasn’t reached. */
let unreached = false;

/** The way to what is in another shard. */
function elsewhere({ code, body }) {
  if (code !== "elsewhere" || !Number.isInteger(body?.shard) || body.shard === shard) return null;
  const href = hrefIn(body.shard, location.hash);
  return h("p", {}, h("a", { class: "button", href }, `Open it in shard ${body.shard}`));
}

function failure(error, retry) {
  const problem =
    error instanceof Problem
      ? error
      : new Problem(
          "page",
          "This page failed",
          `${error.message}. Load it again; if it stays so, look in the browser’s console.`,
        );
  const again = h("button", { type: "button", class: "button", onclick: retry }, "Try again");
  return {
    title: problem.title,
    element: h(
      "div",
      { class: "stack" },
      h(
        "section",
        { class: "card notice", role: "alert" },
        h("h1", {}, problem.title),
        h("p", {}, sentence(problem.detail)),
        elsewhere(problem),
        wantsToken(problem) ? tokenForm() : null,
        h("p", {}, again, " ", h("a", { class: "button quiet", href: "#/" }, "Overview")),
      ),
    ),
  };
}

async function show() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const path = decodeURI(location.hash.slice(1) || "/");
  const match = ROUTES.map(([pattern, name, view]) => [pattern.exec(path), name, view]).find(([groups]) => groups);
  const busy = setTimeout(() => {
    progress.hidden = false;
    main.setAttribute("aria-busy", "true");
  }, 120);
  let shown;
  unreached = false;
  try {
    if (live.denied) throw live.denied;
    if (!match)
      throw new Problem(
        "no-page",
        "There is no such page",
        "Check the address, or search for a height, an id or an account above.",
      );
    shown = await match[2]({ signal }, ...match[0].slice(1));
  } catch (error) {
    if (signal.aborted) return;
    unreached = error.code === "unreachable";
    shown = failure(error, show);
  } finally {
    clearTimeout(busy);
    if (!signal.aborted) {
      progress.hidden = true;
      main.removeAttribute("aria-busy");
    }
  }
  if (signal.aborted) return;
  place(shown, match?.[1]);
}

function place(shown, name) {
  main.replaceChildren(shown.element);
  document.title = `${shown.title} · Rustorium`;
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (first) {
    first = false;
    return;
  }
  scrollTo(0, 0);
  // Who listens or uses the keyboard goes on in what has come, unless they are typing the next search.
  if (document.activeElement?.id === "query") return;
  const heading = main.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
}

/** Where a search leads; null where nothing of this shape is known. */
async function target(text) {
  const here = /^#\/accounts\/([^/]+)/.exec(location.hash);
  const number = text.replaceAll(",", "").replace(/^#/, "");
  if (/^\d{1,19}$/.test(number)) return blockHref(number);
  if (/^[0-9a-fA-F]{64}$/.test(text)) {
    const id = text.toLowerCase();
    const others = shards.filter((one) => one.hosted && one.shard !== shard).map((one) => one.shard);
    for (const of of [shard, ...others]) {
      if (await exists(`/v1/transactions/${id}`, of)) return hrefIn(of, transactionHref(id));
      if (await exists(`/v1/blocks/${id}`, of)) return hrefIn(of, blockHref(id));
    }
    // Any other id may be an asset's: its balance is one of the account that is open.
    return here ? balanceHref(here[1], id) : null;
  }
  const [address, ...rest] = text.split("/");
  if (/^rs1[0-9a-z]+$/i.test(address)) {
    const owner = address.toLowerCase();
    return rest.length > 0 ? keyHref(owner, toHex(rest.join("/"))) : accountHref(owner);
  }
  if ((await read("/v1/validators")).validators.some((validator) => validator.name === text)) return "#/validators";
  return here ? keyHref(here[1], toHex(text)) : null;
}

function found(_, text) {
  const element = h(
    "div",
    { class: "stack" },
    h(
      "section",
      { class: "card", role: "alert" },
      h("h1", {}, "Nothing found"),
      empty(
        `Nothing matches “${short(text, 40, 12)}”.`,
        "A height (42), a transaction’s or block’s id (64 hex digits), an address (rs1…), a validator’s name, or a key of an account (rs1…/invoice/17). On an account’s page a key’s name or an asset’s id is enough.",
        "A transaction that was just sent may not have arrived yet. An expired transaction is not in the ledger.",
      ),
    ),
  );
  return { title: "Nothing found", element };
}

function search() {
  const form = document.getElementById("search");
  const input = document.getElementById("query");
  let searches = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    searches += 1;
    const mine = searches;
    input.value = "";
    input.blur();
    let to;
    try {
      to = await target(text);
    } catch (error) {
      if (mine !== searches) return;
      current.abort();
      const again = () => {
        input.value = text;
        form.requestSubmit();
      };
      place(failure(error, again), "search");
      return;
    }
    // Who has searched again meanwhile wants that.
    if (mine === searches) location.assign(to ?? `#/search/${encodeURI(text)}`);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape" && event.target === input) {
      input.value = "";
      input.blur();
    }
  });
}

const THEMES = {
  system: ["Colours: system setting", "M12 3a9 9 0 0 0 0 18z", true],
  light: [
    "Colours: light",
    "M12 2v3M12 19v3M2 12h3M19 12h3M4.9 4.9 7 7M17 17l2.1 2.1M4.9 19.1 7 17M17 7l2.1-2.1",
    false,
  ],
  dark: ["Colours: dark", "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z", null],
};

function theme() {
  const button = document.getElementById("theme");
  const order = Object.keys(THEMES);
  const draw = () => {
    const [words, path, whole] = THEMES[document.documentElement.dataset.theme ?? "system"];
    button.setAttribute("aria-label", words);
    button.title = words;
    const circle = whole === null ? null : s("circle", { class: "line", cx: 12, cy: 12, r: whole ? 9 : 4.5 });
    button.replaceChildren(
      s(
        "svg",
        { viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" },
        circle,
        s("path", { class: whole === false ? "line" : "solid", d: path }),
      ),
    );
  };
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const next = order[(order.indexOf(root.dataset.theme ?? "system") + 1) % order.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("rustorium-theme", next);
    } catch {
      // It holds for this visit.
    }
    draw();
  });
  draw();
}

const WORDS = { connecting: "Connecting", live: "Live", offline: "Not connected" };

function connection() {
  const pill = document.getElementById("connection");
  const about = document.getElementById("about");
  let before = live.connection;
  watch(() => {
    if (live.denied && !document.getElementById("token")) show();
    if (before !== "live" && live.connection === "live" && unreached) show();
    before = live.connection;
    pill.dataset.state = live.connection;
    say(pill.querySelector(".word"), WORDS[live.connection]);
    pill.title =
      live.connection === "offline" && !live.denied
        ? "The node doesn’t answer; the page tries again by itself"
        : `Newest height ${height()}`;
    if (live.chain && live.status)
      say(
        about,
        `${live.chain.name} · chain ${short(live.chain.chain)} · shard ${live.status.shard} · ${live.status.node}, version ${live.status.version}`,
      );
  });
}

/** Lets people choose a shard, where there are several. */
async function choice() {
  const found = (await read("/v1/shards")).shards;
  if (found.length < 2) return;
  shards = found;
  const options = found.map(({ shard: number, hosted }) =>
    h("option", { value: number, selected: number === shard, disabled: !hosted }, `Shard ${number}`),
  );
  const pick = h("select", { class: "pick", "aria-label": "Shard" }, options);
  pick.addEventListener("change", () => location.assign(hrefIn(Number(pick.value), "#/")));
  document.getElementById("theme").before(pick);
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
setInterval(() => freshen(main), FRESHEN_EVERY_MS);
// Seats govern in shard 0.
document.querySelector('[data-nav="governance"]').hidden = shard !== 0;
theme();
search();
connection();
start();
show();
// A node of an earlier release has no list of shards, and a page that asks for a token has none yet.
choice().catch(() => {});
