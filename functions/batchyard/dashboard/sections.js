// A part of a view with its heading.

import { h } from "./dom.js";

export function section(title, ...content) {
  return h("section", { class: "section", key: title }, h("h2", {}, title), content);
}
