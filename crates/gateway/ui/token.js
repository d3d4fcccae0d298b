// The token for a node that asks for one: kept until the tab is closed, and sent to the node that served this page alone.

import { h } from "./dom.js";

const PLACE = "rustorium-token";

function kept() {
  try {
    return sessionStorage.getItem(PLACE);
  } catch {
    // A browser that keeps nothing: it is asked for again.
    return null;
  }
}

/** Headers that show the token, where there is one. */
export function bearing() {
  const token = kept();
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Whether a problem is that a token is missing or not good. */
export const wantsToken = (problem) => problem.code?.startsWith("token-") ?? false;

/** Asks for a token; then the page begins anew. */
export function tokenForm() {
  const input = h("input", {
    id: "token",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "rsk_…",
    required: "",
  });
  const keep = (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (!/^[!-~]{1,128}$/.test(token)) {
      input.value = "";
      return;
    }
    sessionStorage.setItem(PLACE, token);
    location.reload();
  };
  return h(
    "form",
    { class: "token", onsubmit: keep },
    h("label", { for: "token" }, "Token"),
    input,
    h("button", { type: "submit", class: "button" }, "Use it in this tab"),
  );
}

/** Server-sent events as `EventSource` gives them, with the token that it can't send. */
export class TokenStream extends EventTarget {
  #stop = new AbortController();

  constructor(path) {
    super();
    this.#read(path);
  }

  close() {
    this.#stop.abort();
  }

  async #read(path) {
    const { signal } = this.#stop;
    try {
      const response = await fetch(path, { headers: bearing(), signal, cache: "no-store" });
      if (response.ok) {
        this.dispatchEvent(new Event("open"));
        await this.#frames(response.body.pipeThrough(new TextDecoderStream()).getReader());
      }
    } catch {
      // As where the node ends it: whoever listens opens another one.
    }
    if (!signal.aborted) this.dispatchEvent(new Event("error"));
  }

  async #frames(reader) {
    let waiting = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const frames = (waiting + value).split("\n\n");
      waiting = frames.pop();
      for (const frame of frames) this.#tell(frame);
    }
  }

  #tell(frame) {
    const lines = frame.split("\n").map((line) => /^([a-z]+): ?(.*)$/.exec(line));
    const field = (name) => lines.find((line) => line?.[1] === name)?.[2];
    const data = field("data");
    if (data !== undefined) this.dispatchEvent(new MessageEvent(field("event") ?? "message", { data }));
  }
}
