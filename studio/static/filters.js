// A filter as both pages have it: in the address, as chips, as lists of values to press.
import { count, el, short } from "/static/common.js";

const TITLES = { reason: "Refused by", prompt: "Prompt", split: "Split", label: "Label", video: "Video", predicted: "Predicted", individual_id: "Individual" };
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

const said = (column, value) => value || ({ label: "no label", reason: "kept" }[column] ?? "none");

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
  if (made.length > 1) made.push(el("button", { class: "plain", text: "clear all", onclick: () => change({ state: "any", ...(filter.outcome && { outcome: filter.outcome }) }) }));
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

const OUTCOMES = { kept: "Kept", refused: "Refused", all: "All" };
const OF_KEPT = ["split", "label", "individual_id", "predicted"]; // what nothing that was refused has

/** The choice between crops and what was refused; what only one of them has goes with the other. */
export function outcomes(filter, facts, change) {
  const many = { kept: facts.samples, refused: facts.refused, all: facts.samples + facts.refused };
  const now = filter.outcome ?? "kept";
  const next = (outcome) => {
    const { reason, ...others } = filter;
    if (outcome === "kept") return { ...others, outcome };
    for (const column of OF_KEPT) delete others[column];
    return { ...others, ...(reason && { reason }), outcome, state: "any" };
  };
  return el("div", { class: "segment outcomes", role: "group", "aria-label": "Kept or refused" }, Object.entries(OUTCOMES).map(([outcome, name]) =>
    el("button", { "aria-pressed": String(now === outcome), "data-outcome": outcome, onclick: () => outcome !== now && change(next(outcome)) },
      name, el("span", { class: "soft small", text: count(many[outcome]) }))));
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

/** All of it as the label page shows it, with a figure's range to type in. */
export function panel(counted, filter, figures, change) {
  const figure = el("select", { "aria-label": "Quality figure" }, figures.map((each) => el("option", { value: each.figure, text: `${each.title} ${each.unit}` })));
  const [least, below] = ["from", "to"].map((name) => el("input", { type: "number", step: "any", placeholder: name, "aria-label": name }));
  const set = () => {
    const own = figures.find((each) => each.figure === figure.value);
    const bound = (input) => (input.value === "" ? null : Number(input.value) / own.scale);
    const none = least.value === "" && below.value === "";
    change(ranged(filter, figure.value, none ? null : { least: bound(least), below: bound(below) }));
  };
  return [chips(filter, figures, change), states(filter, change), el("p", { class: "soft small", text: `${count(counted.total)} crops` }),
    ...facets(counted, filter, change), el("section", { class: "facet" }, el("h3", { text: "Quality" }),
      el("div", { class: "row" }, figure, least, below, el("button", { text: "Filter by quality", onclick: set })))];
}
