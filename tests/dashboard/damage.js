// What a stranger's text has done to the page: nothing, if each list is empty.
() => {
  const all = [...document.querySelectorAll("body *")];
  const controls = /[\u0000-\u0008\u000b-\u001f\u200b\u202a-\u202e\u2066-\u2069]/u;
  const scrolls = ".scroll > *, pre > *, .unseen";
  return {
    pwned: window.pwned ?? null,
    foreign: all.filter((each) => each.matches("img,iframe,object,embed,style,base,script")).map((each) => each.tagName),
    handlers: all.flatMap((each) => each.getAttributeNames().filter((name) => name.startsWith("on"))),
    addresses: all.filter((each) => each.matches("a[href]") && !/^https?:$/.test(each.protocol)).map((each) => each.href),
    controls: [...document.body.innerText].filter((each) => controls.test(each)).length,
    wide: all
      .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(scrolls))
      .map((each) => each.outerHTML.slice(0, 100)),
  };
}
