// How figures, times and strangers' texts are written. Times are unix seconds, money is a decimal text in dollars.

const COUNT = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const BYTES = ["bytes", "kB", "MB", "GB", "TB"];
const LINE_BREAKS = /[\n\r\t]/g;

const MOST_NAME = 120;

export function count(number) {
  return number === null || number === undefined ? "–" : COUNT.format(number);
}

export function short(number) {
  return number < 10000 ? COUNT.format(Math.round(number)) : SHORT.format(number);
}

export function percent(share) {
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${share < 1 ? Math.floor(share * 100) : 100} %`;
}

export function money(decimal) {
  if (decimal === null || decimal === undefined) return "–";
  const dollars = Number(decimal);
  const size = Math.abs(dollars);
  const sign = dollars < 0 ? "−$" : "$";
  if (size === 0) return "$0";
  if (size >= 1) return sign + size.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  if (size < 0.000001) return `${sign}0.000001 at most`;
  return sign + size.toFixed(Math.min(6, 2 - Math.floor(Math.log10(size))));
}

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  return `${perSecond >= 100 ? COUNT.format(Math.round(perSecond)) : Number(perSecond.toFixed(1))}/s`;
}

export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const step = Math.min(BYTES.length - 1, size < 1000 ? 0 : Math.floor(Math.log10(size) / 3));
  const figure = size / 1000 ** step;
  return `${step === 0 ? size : figure.toFixed(figure < 10 ? 1 : 0)} ${BYTES[step]}`;
}

/** The two largest units: "3 h 12 min". */
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  return UNITS.slice(first, first + 2)
    .map(([unit, size]) => {
      const many = Math.floor(rest / size);
      rest -= many * size;
      return many ? `${many} ${unit}` : "";
    })
    .filter(Boolean)
    .join(" ");
}

export function moment(second) {
  return second ? MOMENT.format(second * 1000) : "–";
}

export function exactly(second) {
  return EXACT.format(second * 1000);
}

export function now() {
  return Math.floor(Date.now() / 1000);
}

/** A name that somebody else chose, on one line and not too long. */
export function name(text, most = MOST_NAME) {
  const letters = [...String(text ?? "").slice(0, most * 2 + 2)];
  const start = letters.length > most ? `${letters.slice(0, most).join("")}…` : letters.join("");
  return start.replace(LINE_BREAKS, " ");
}

/** A longer text that somebody else wrote, with its line breaks. */
export function text(written, most = 200000) {
  const whole = String(written ?? "");
  return whole.length > most ? `${whole.slice(0, most)}\n… ${count(whole.length - most)} characters more` : whole;
}
