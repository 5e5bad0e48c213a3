// What every page uses: elements, requests, keys, the bar on top, the key help, short messages.

const PAGES = [["/label", "Label"], ["/browse", "Browse"], ["/correct", "Correct"]];

/** An element. attrs: properties (class, text), "on..." listeners, data-*, aria-*; false and null are left out. */
export function el(tag, attrs = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const $ = (selector, inside = document) => inside.querySelector(selector);

/** A request that was refused, or not answered at all (status 0). */
export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

/** Ask the studio; returns the answer's JSON. Throws Refused with what the studio says. */
export async function ask(method, path, body, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method, credentials: "same-origin", signal: options.signal, keepalive: options.keepalive,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The studio does not answer. Is it still running?");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, said.detail ?? `The studio answered ${answer.status}.`);
  return said;
}

/** A short message in the corner, also read aloud. */
export function toast(message, bad = false, seconds = bad ? 8 : 3) {
  let corner = $("#toasts");
  if (!corner) document.body.append(corner = el("div", { id: "toasts", role: "status", "aria-live": "polite" }));
  const made = el("div", { class: bad ? "toast bad" : "toast", text: message });
  corner.append(made);
  while (corner.children.length > 4) corner.firstChild.remove();
  setTimeout(() => made.remove(), seconds * 1000);
}

/** Say what went wrong. */
export function complain(error) {
  if (error.name !== "AbortError") toast(error.message, true);
}

/** The bar on top; returns it. More can be appended. */
export function bar(current) {
  const link = ([path, name]) => el("a", { href: path, text: name, "aria-current": path === current ? "page" : null });
  const made = el("header", { class: "top" },
    el("a", { class: "brand", href: "/" }, el("b", { text: "clipcrop" }), " studio"),
    el("nav", { "aria-label": "Pages" }, PAGES.map(link)), el("span", { class: "fill" }));
  document.body.prepend(el("a", { class: "skip", href: "#main", text: "To the content" }), made);
  return made;
}

/** The key of an event as a page names it: a digit by its place on the keyboard, a letter in lower case, with
 *  "shift+", "ctrl+" (or command) before it. */
export function keyOf(event) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code ?? "");
  const plain = digit ? digit[1] : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const key = plain === " " ? "Space" : plain;
  const shift = event.shiftKey && (digit || /^\p{L}$/u.test(plain) || plain.length > 1) ? "shift+" : "";
  return (event.ctrlKey || event.metaKey ? "ctrl+" : "") + shift + key;
}

/** Listen to keys of the page. handle(key, event) returns whether it took the key. Keys that are typed into a field,
 *  press a button or belong to a dialog are left alone. */
export function keys(handle) {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || $("dialog[open]")) return;
    const place = event.target;
    if (place.closest("input:not([type=checkbox], [type=radio], [type=range]), select, textarea, [contenteditable]")) return;
    if (place.closest("button, a, summary") && ["Enter", " "].includes(event.key)) return;
    if (place.closest("[type=range]") && event.key.startsWith("Arrow")) return;
    if (handle(keyOf(event), event)) event.preventDefault();
  });
}

/** A key help on "?" and behind a button in the bar. rows(): [[key, ...], what] each, read when it opens. */
export function help(inBar, rows) {
  const list = el("dl", { class: "keys" });
  const box = el("dialog", { "aria-labelledby": "help-title" },
    el("div", { class: "spread" }, el("h2", { id: "help-title", text: "Keys" }),
      el("button", { class: "plain", "aria-label": "Close", text: "✕", onclick: () => box.close() })), list);
  const open = () => {
    list.replaceChildren(...rows().flatMap(([names, what]) =>
      [el("dt", {}, names.flatMap((name, n) => [n ? " " : null, el("kbd", { text: name })])), el("dd", { text: what })]));
    box.showModal();
  };
  document.body.append(box);
  inBar.append(el("button", { class: "plain", "aria-label": "Key help", title: "Keys (?)", onclick: open }, el("kbd", { text: "?" }), "Keys"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "?" && !$("dialog[open]") && !event.target.closest("input, textarea, select")) {
      event.preventDefault();
      open();
    }
  });
}

/** 12345.6 as "12,346". */
export const count = (number) => Math.round(number).toLocaleString("en");

/** Seconds as "1:02:03.4". */
export function clock(seconds) {
  const whole = Math.floor(seconds), rest = Math.floor((seconds - whole) * 10);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${h ? `${h}:${String(m).padStart(2, "0")}` : m}:${String(s).padStart(2, "0")}.${rest}`;
}

/** A number as one reads it: three digits that matter. */
export const short = (value) => value === null ? "–" : String(Number(value.toPrecision(Math.abs(value) >= 1000 ? 4 : 3)));

/** Remembers small things of this browser, such as a name; without storage it forgets them. */
export const kept = {
  get(key, otherwise = null) {
    try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
  },
  set(key, value) {
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* private windows have none */ }
  },
};
