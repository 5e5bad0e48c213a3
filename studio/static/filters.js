// A filter as both pages have it: in the address, as chips, as lists of values to press.
import { count, el, short } from "/static/common.js";

const TITLES = { prompt: "Prompt", split: "Split", label: "Label", video: "Video", predicted: "Predicted", individual_id: "Individual" };
export const STATES = { any: "all", open: "to do", labelled: "labelled", unsure: "not sure", commented: "commented" };

/** What the address says after "#"; a filter that holds what `otherwise` says where the address says nothing. */
export function fromAddress(otherwise = {}) {
  try {
    const found = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    if (found && typeof found === "object" && !Array.isArray(found)) return found;
  } catch { /* no filter, or not one of ours */ }
  return otherwise;
}

/** Keep the filter in the address, so that a reload and a link show the same. */
export function toAddress(filter) {
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(filter))}`);
}

/** The filter with one value of a column added or taken away. */
export function toggled(filter, column, value) {
  const there = filter[column] ?? [];
  const values = there.includes(value) ? there.filter((each) => each !== value) : [...there, value];
  const { [column]: _, ...others } = filter;
  return values.length ? { ...others, [column]: values } : others;
}

/** The filter with a figure's range, or without with null. */
export function ranged(filter, figure, range) {
  const { [figure]: _, ...figures } = filter.figures ?? {};
  return { ...filter, figures: range ? { ...figures, [figure]: range } : figures };
}

const said = (column, value) => value || (column === "label" ? "no label" : "none");

/** A chip per condition, each with a button that takes it away. */
export function chips(filter, figures, change) {
  const made = [];
  const chip = (text, without) => made.push(el("span", { class: "chip on" }, el("span", { class: "ellipsis", text }),
    el("button", { "aria-label": `Without ${text}`, text: "✕", onclick: () => change(without) })));
  for (const column of Object.keys(TITLES)) {
    for (const value of filter[column] ?? []) chip(`${TITLES[column]}: ${said(column, value)}`, toggled(filter, column, value));
  }
  for (const [name, { least, below }] of Object.entries(filter.figures ?? {})) {
    const figure = figures.find((each) => each.figure === name);
    const at = (value) => short(value * (figure?.scale ?? 1));
    const ends = least == null ? `below ${at(below)}` : below == null ? `from ${at(least)}` : `${at(least)} to ${at(below)}`;
    chip(`${figure?.title ?? name}: ${ends} ${figure?.unit ?? ""}`.trim(), ranged(filter, name, null));
  }
  if (filter.state && filter.state !== "any") chip(STATES[filter.state] ?? filter.state, { ...filter, state: "any" });
  if (made.length > 1) made.push(el("button", { class: "plain", text: "clear all", onclick: () => change({ state: "any" }) }));
  return el("div", { class: "chips", "aria-label": "Filters" }, made);
}

/** The values of the columns with their counts; pressing one filters by it. */
export function facets(counted, filter, change) {
  return Object.entries(counted.columns).filter(([, values]) => values.some((value) => value.name)).map(([column, values]) => {
    const most = Math.max(1, ...values.map((value) => value.here));
    const rows = values.map((value) => {
      const bar = el("i");
      bar.style.width = `${100 * value.here / most}%`;
      const name = said(column, value.name);
      return el("li", {}, el("button", {
        "aria-pressed": String((filter[column] ?? []).includes(value.name)), title: name,
        "data-column": column, "data-value": value.name,
        onclick: () => change(toggled(filter, column, value.name)),
      }, bar, el("span", { class: "ellipsis", text: name }), el("span", { class: "n", text: count(value.here) })));
    });
    return el("section", { class: "facet" }, el("h3", { text: TITLES[column] }), el("ul", { class: "values", "aria-label": TITLES[column] }, rows));
  });
}

/** The choice of what has been said. */
export function states(filter, change) {
  return el("div", { class: "states", role: "group", "aria-label": "State" }, Object.entries(STATES).map(([state, name]) =>
    el("button", { "aria-pressed": String((filter.state ?? "any") === state), text: name, onclick: () => change({ ...filter, state }) })));
}

/** What each order is called. */
export function orderNames(facts) {
  const names = { time: "video and time", shuffled: "shuffled" };
  if (facts.predicted.length) names.unsure_first = "least sure prediction first";
  for (const { figure, title } of facts.figures) {
    names[figure] = `${title}, least first`;
    names[`-${figure}`] = `${title}, greatest first`;
  }
  return names;
}
