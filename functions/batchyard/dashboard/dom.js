// The page as values: h() describes an element, patch() makes the document agree with a list of them. What is there
// already stays: elements are found again by their `key`, else by their tag in order, so that a poll never replaces what
// is under the pointer or has the focus. Nothing is ever parsed as HTML: contents are text nodes and attributes, and in
// them controls, marks that turn the direction of writing and characters without a width are shown as what they are.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "open", "selected", "multiple", "textContent"]);
const LINKS = /^(#|blob:|https?:\/\/)/;
const SPOKEN = new Set(["title", "aria-label", "aria-valuetext", "placeholder"]);
const INVISIBLE =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}/gu;
const SOURCE = Symbol("source"); // what an element was made from

/** An element: `props` are attributes, `on…` handlers, `style` (custom properties), `key`, and `mount`, which is called
 * with the element once it is in the document. Children are elements, texts, numbers, lists of these, or nothing. */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(Infinity).filter((each) => each || each === 0) };
}

let depth = 0;
const mounted = []; // [mount, element] of those that were made since the outermost patch began

/** Makes `children` the contents of `parent`. */
export function patch(parent, children) {
  depth += 1;
  const chosen = matched(parent, children);
  const stays = new Set(chosen);
  for (const node of [...parent.childNodes]) if (!stays.has(node)) node.remove();
  let place = parent.firstChild;
  children.forEach((child, index) => {
    const node = chosen[index] ?? created(child, parent);
    update(node, child);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  });
  depth -= 1;
  if (depth === 0) for (const [mount, node] of mounted.splice(0)) mount(node);
}

/** For each child the node that stays for it, or null. */
function matched(parent, children) {
  const keyed = new Map();
  const loose = [];
  for (const node of parent.childNodes) {
    const key = node[SOURCE]?.props.key;
    if (key === undefined) loose.push(node);
    else keyed.set(key, node);
  }
  let next = 0;
  return children.map((child) => {
    const key = child.props?.key;
    if (key !== undefined) {
      const node = keyed.get(key);
      keyed.delete(key);
      return node && fits(node, child) ? node : null;
    }
    const found = loose.findIndex((node, index) => index >= next && fits(node, child));
    if (found < 0) return null;
    next = found + 1;
    return loose[found];
  });
}

function fits(node, child) {
  return child.tag === undefined ? node.nodeType === Node.TEXT_NODE : node[SOURCE]?.tag === child.tag;
}

function created(child, parent) {
  if (child.tag === undefined) return document.createTextNode("");
  const isSvg = child.tag === "svg" || parent.namespaceURI === SVG;
  const node = isSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  node[SOURCE] = { tag: child.tag, props: {} };
  if (child.props.mount) mounted.push([child.props.mount, node]);
  return node;
}

function update(node, child) {
  if (child.tag === undefined) {
    const text = visible(child);
    if (node.data !== text) node.data = text;
    return;
  }
  const before = node[SOURCE].props;
  const after = child.props;
  node[SOURCE] = child;
  patch(node, child.children); // first, because a <select> takes only a value that it has
  for (const name in before) if (!(name in after)) set(node, name, undefined, before[name]);
  for (const name in after) if (after[name] !== before[name]) set(node, name, after[name], before[name]);
}

function set(node, name, value, before) {
  if (name === "key" || name === "mount") return;
  if (name === "style") {
    for (const each in { ...before, ...value }) node.style.setProperty(each, value?.[each] ?? "");
  } else if (name.startsWith("on")) node[name] = value ?? null;
  else if (PROPERTIES.has(name)) node[name] = value ?? "";
  else if (value === undefined || value === null || (value === false && !name.startsWith("aria-"))) {
    node.removeAttribute(name);
  } else if (SPOKEN.has(name)) node.setAttribute(name, visible(value));
  else if (name === "href" && !LINKS.test(value)) throw new Error("not an address that this page links to");
  else node.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
}

function visible(text) {
  return String(text).replace(INVISIBLE, (each) => `\\u${each.codePointAt(0).toString(16).padStart(4, "0")}`);
}
