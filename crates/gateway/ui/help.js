// What the words of the explorer mean, and where more is written.

import { card, facts, h } from "./dom.js";

const code = (text) => h("code", { class: "whole" }, text);

const VERDICTS = [
  ["✓ Verified in this page", "Your browser checked the proof against the chain’s genesis. The page shows what the proof proves."],
  ["✕ Refused", "The proof is wrong, or the node contradicts it. Don’t rely on what the node says; ask another node."],
  ["– Not certified yet", "It is final, but no later block vouches for its result yet. The page asks again by itself."],
  ["– Not checked", "The proof could not be checked here. The panel says why."],
];

const WORDS = [
  ["Final", "A quorum of validators has it on disk. It can’t be undone."],
  ["Certified", "A final block vouches for its result, so that the result can be proven to others."],
  ["Quorum", "More than two thirds of the validators."],
  ["Epoch", "The term of one committee of validators."],
  ["Account", "A key that signs. It owns keys with values, and balances of assets."],
  ["Work", "The measure of what a transaction costs. Each account has a quota of it, which refills."],
];

const COMMANDS = [
  ["A value", code("rustorium query --account ADDRESS KEY --node URL --genesis FILE")],
  ["A transaction", code("rustorium tx status ID --node URL --genesis FILE")],
  ["A block", code("rustorium block show HEIGHT --node URL --genesis FILE")],
  ["A saved proof", code("rustorium verify FILE --genesis FILE")],
];

export function help() {
  const element = h(
    "div",
    { class: "stack" },
    h("h1", {}, "Help"),
    card("What a verdict means", facts(...VERDICTS)),
    card(
      "Check without this page",
      h("p", {}, "This page and the genesis that it starts from came from a node. With a genesis file of your own, these commands trust no node:"),
      facts(...COMMANDS),
    ),
    card("Words", facts(...WORDS)),
    card(
      "Documentation",
      h(
        "p",
        {},
        "The pages of the documentation are in the folder ",
        code("docs"),
        " of the source code; begin with ",
        code("docs/index.md"),
        ". Where the program is installed, ",
        code("man rustorium"),
        " shows all commands. The ",
        h("a", { href: "/docs/" }, "API"),
        " of this node describes itself.",
      ),
    ),
  );
  return { title: "Help", element };
}
