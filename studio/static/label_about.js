// What the label page says beside the crops: of the one in view, the classes, and how far the labels are.
import { $, count, el, short } from "/static/common.js";

const FACTS = ["side", "visible_share", "truncated", "sharpness", "motion", "first_score"];

/** What is said of a crop, in words; nothing for nothing. */
export const saidOf = (sample) => sample.label ?? (sample.unsure ? "not sure" : "");

/** sample: null for none. figures: as the studio describes them. */
export function showAbout(sample, figures) {
  $("#about").textContent = sample ? `${sample.prompt} · ${sample.individual_id ? `${sample.individual_id.slice(0, 8)} · ` : ""}${sample.video}` : "";
  $("#about").title = sample?.video ?? "";
  if (document.activeElement !== $("#comment")) $("#comment").value = sample?.comment ?? "";
  const fact = (name, value) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }));
  const shown = figures.filter((each) => FACTS.includes(each.figure));
  $("#facts").replaceChildren(...(sample ? shown.map((each) => fact(each.title, `${short(sample.figures[each.figure] * each.scale)} ${each.unit}`.trim())) : []),
    ...(sample?.predicted ? [fact("Predicted", sample.predicted)] : []));
}

/** say: called with the class that is pressed, and the event. */
export function showClasses(classes, say) {
  const press = (each) => (event) => {
    if (event.detail) event.currentTarget.blur();
    say(each.name, event);
  };
  $("#classes").replaceChildren(...classes.classes.map((each) => el("button", { "data-name": each.name, "aria-pressed": "false", onclick: press(each) },
    each.key ? el("kbd", { text: each.key.toUpperCase() }) : el("span", { class: "nokey" }), el("span", { class: "ellipsis", text: each.name }), el("span", { class: "n" }))));
  if (!classes.classes.length) $("#classes").replaceChildren(el("p", { class: "soft", text: "No classes yet: press Edit." }));
  showCounts(classes);
}

/** How many crops each class has. */
export function showCounts(classes) {
  for (const button of $("#classes").children) if (button.dataset.name) $(".n", button).textContent = count(classes.counts[button.dataset.name] ?? 0);
}

/** lately: how many in the last minute. */
export function showProgress(labelled, samples, lately) {
  const meter = $("#meter");
  $("i", meter).style.width = `${100 * labelled / Math.max(1, samples)}%`;
  meter.setAttribute("aria-valuemax", samples);
  meter.setAttribute("aria-valuenow", labelled);
  $("#progress").textContent = `${count(labelled)} of ${count(samples)}${lately > 1 ? ` · ${lately} a minute` : ""}`;
}
