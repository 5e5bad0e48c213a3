// A figure's histogram: bars to press, kept and refused, and where its filter refuses.
import { count, el, short } from "/static/common.js";
import { ranged } from "/static/filters.js";

/** change: called with the filter that a pressed bar asks for. */
export function figure(bins, filter, change) {
  const range = filter.figures?.[bins.figure], outcome = filter.outcome ?? "kept";
  const none = bins.all.map(() => 0);
  const [all, here] = outcome === "refused" ? [none, none] : [bins.all, bins.here];
  const [lost, gone] = outcome === "kept" ? [none, none] : [bins.refused, bins.refused_here];
  const tallest = Math.max(1, ...all.map((many, n) => many + lost[n])), unit = bins.unit && ` ${bins.unit}`;
  const at = (n) => short(bins.edges[n] * bins.scale);
  const inside = (n) => Boolean(range) && bins.edges[n + 1] > (range.least ?? -Infinity) && bins.edges[n] < (range.below ?? Infinity);
  const choose = (n, event) => {
    let [least, below] = [bins.edges[n], bins.edges[n + 1]];
    if (event.shiftKey && range) [least, below] = [Math.min(least, range.least ?? least), Math.max(below, range.below ?? below)];
    const same = range && range.least === least && range.below === below;
    change(ranged(filter, bins.figure, same ? null : { least, below }));
  };
  const tall = (number) => (number ? Math.max(3, 100 * number / tallest) : 0);
  const part = (tag, from, number) => {
    const made = el(tag);
    [made.style.bottom, made.style.height] = [`${from}%`, `${tall(number)}%`];
    return made;
  };
  const bars = all.map((many, n) => {
    const said = [outcome !== "refused" && `${count(here[n])} of ${count(many)} crops`, outcome !== "kept" && `${count(gone[n])} of ${count(lost[n])} refused`].filter(Boolean).join(", ");
    const text = `${bins.title} ${at(n)} to ${at(n + 1)}${unit}: ${said}`;
    return el("button", { "data-figure": bins.figure, "data-bin": n, title: text, "aria-label": text, disabled: !(many + lost[n]),
      "aria-pressed": String(inside(n)), onclick: (event) => choose(n, event) },
    part("i", 0, many + lost[n]), part("b", 0, here[n]), part("u", tall(here[n]), gone[n]));
  });
  const line = limit(bins, unit);
  return el("figure", { class: "panel figure" }, el("figcaption", { title: bins.note }, bins.title, el("span", { text: bins.unit })),
    el("div", { class: range ? "bars some" : "bars", role: "group", "aria-label": `${bins.title}: histogram${line ? `, ${line.title}` : ""}` }, bars, line),
    el("div", { class: "axis", "aria-hidden": "true" }, el("span", { text: at(0) }), line && el("span", { class: "limit", text: line.dataset.short }), el("span", { text: at(bins.edges.length - 1) })));
}

/** The line where the figure's filter refuses; null where it is off. */
function limit(bins, unit) {
  if (!bins.limit) return null;
  const [low, high] = [bins.edges[0], bins.edges.at(-1)], value = short(bins.limit.value * bins.scale);
  const made = el("span", { class: "line", title: `the filter asks for at ${bins.limit.least ? "least" : "most"} ${value}${unit}`, "data-short": `${bins.limit.least ? "≥" : "≤"} ${value}` });
  made.style.left = `${Math.min(100, Math.max(0, 100 * (bins.limit.value - low) / (high - low)))}%`;
  return made;
}
