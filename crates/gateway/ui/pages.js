// Lists that grow by pages.

import { h, table } from "./dom.js";

/** A list that grows by pages: `load(next)` gives rows and what comes next. */
export async function paged(caption, columns, load, nothing) {
  const list = table(caption, columns, []);
  const more = h("button", { type: "button", class: "button quiet" }, "More");
  let next = "";
  async function step() {
    do {
      const page = await load(next);
      list.body.append(...page.rows.map(list.makeRow));
      next = page.next ?? "";
      // A page may be empty and have a next one all the same.
    } while (next && !list.body.hasChildNodes());
    more.hidden = !next;
  }
  await step();
  more.addEventListener("click", () =>
    step().catch((error) => {
      more.textContent = error.detail ?? error.message;
    }),
  );
  return list.body.hasChildNodes() ? h("div", {}, list, h("p", { class: "more" }, more)) : nothing;
}
