// Sign-in with an API key, which is tried at once.

import { h } from "./dom.js";

export function signInView(app, signedIn) {
  function submit(event) {
    event.preventDefault();
    const { key, kept } = event.target.elements;
    if (key.value.trim()) signedIn(key.value.trim(), kept.checked);
  }

  function body() {
    return h(
      "form",
      { class: "sign-in", onsubmit: submit, key: "sign-in" },
      h("h1", { tabindex: -1 }, "Batchyard"),
      h("p", {}, "Sign in with an API key of your account. It is kept in this tab only."),
      h("label", {}, "API key", h("input", { name: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false", mount: (node) => node.focus() })),
      h("label", { class: "check" }, h("input", { name: "kept", type: "checkbox", checked: true }), "Keep it until this tab is closed"),
      h("button", { type: "submit", class: "main" }, "Sign in"),
    );
  }

  return { title: "Sign in", body: () => [body()] };
}
