// One dialog at a time, above everything: the browser keeps the focus in it, closes it on Escape, and gives the focus
// back to what opened it.

import { h } from "./dom.js";
import { alert, button } from "./marks.js";

let open = null;
let draw = () => {};

export function drawDialogsWith(redraw) {
  draw = redraw;
}

/** Shows `content()`, which is called at each drawing. */
export function show(title, content, props = {}) {
  open = { title, content, key: {}, props };
  draw();
}

export function close() {
  open = null;
  document.querySelector("dialog[open]")?.close(); // gives the focus back
  draw();
}

/** Asks before something that cannot be undone; `act` may raise what is then shown. */
export function confirm(title, sentence, word, act) {
  let problem = "";
  let isBusy = false;
  const run = async () => {
    isBusy = true;
    draw();
    try {
      await act();
      close();
    } catch (error) {
      problem = error.message;
      isBusy = false;
      draw();
    }
  };
  show(title, () => [
    h("p", {}, sentence),
    alert(problem),
    h(
      "div",
      { class: "actions" },
      button("No, leave it", close),
      button(word, run, { class: "danger", disabled: isBusy }),
    ),
  ]);
}

export function dialog() {
  if (!open) return null;
  const { title, content, key, props } = open;
  return h(
    "dialog",
    {
      key,
      "aria-labelledby": "dialog-title",
      mount: (node) => node.showModal(),
      onclose: () => open?.key === key && close(),
      ...props,
    },
    h(
      "header",
      {},
      h("h2", { id: "dialog-title" }, title),
      button("×", close, { class: "plain", "aria-label": "Close" }),
    ),
    h("div", { class: "dialog-body" }, content()),
  );
}
