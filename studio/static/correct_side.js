// Beside the stage: the objects of a window, who may be the same individual, its corrections, its crops.
import { $, clock, el } from "/static/common.js";
import { css } from "/static/correct_masks.js";

/** What an object is called within its window. */
export const nameOf = (object) => `${object.prompt} ${object.object}`;

/** A correction in words. */
export function said(entry) {
  const there = `${entry.with} at ${entry.at}`;
  const other = { merge: ` into ${entry.into}`, swap: ` with ${entry.with}`, split: ` as ${entry.as}`, same: ` as ${there}`, different: ` from ${there}` }[entry.do] ?? "";
  return `${{ remove: "delete", refine: "click", draw: "new" }[entry.do] ?? entry.do} ${entry.object}${other} at ${entry.frame}`;
}

/** take: called with the object that is pressed. */
export function showObjects(info, objects, chosen, take) {
  $("#objects").replaceChildren(...objects.map((each, n) => el("li", {}, el("button", {
    "aria-pressed": String(each === chosen), onclick: () => take(each), "data-object": each.object,
  }, el("kbd", { text: n < 9 ? String(n + 1) : "·" }), swatch(each), el("span", { class: "name ellipsis", text: nameOf(each) }), strip(each, info)))));
  if (!objects.length) $("#objects").append(el("li", { class: "soft small", text: "Nothing was found here." }));
}

/** undo: called with the id of the correction that is to go. */
export function showEntries(info, undo) {
  $("#entries").replaceChildren(...info.corrections.map(({ id, entry }) => el("li", { class: "small" },
    el("span", { class: "ellipsis", text: said(entry), title: `${said(entry)}\n${entry.author ?? "by hand"}, ${entry.time ?? ""}` }),
    el("button", { class: "plain", "aria-label": `Undo ${said(entry)}`, text: "✕", onclick: () => undo(id) }))));
  $("#undo").disabled = !info.corrections.length;
}

/** on: open(window), say(kind, link) that both are one individual ("same"), or two ("different"). */
export function showLinks(info, objects, chosen, on) {
  const there = new Set(objects.map(nameOf));
  const shown = info.links.filter((link) => there.has(nameOf(link)) && (!chosen || nameOf(chosen) === nameOf(link)));
  $("#linked").hidden = !shown.length;
  $("#links").replaceChildren(...shown.map((link) => {
    const told = link.by === "person" ? "said" : `${link.score.toFixed(2)}${link.state === "open" ? "?" : ""}`;
    return el("li", { class: link.state }, el("button", { class: "plain", title: "Go there", onclick: () => on.open(link.window),
      text: `${link.object} – ${link.other} at ${clock(link.start_s)}, ${told}` }),
    link.prompt === link.other_prompt && [el("button", { text: "Same", onclick: () => on.say("same", link) }),
      el("button", { text: "Two", title: "Two individuals", onclick: () => on.say("different", link) })]);
  }));
}

export function showCrops(info, chosen) {
  const shown = info.crops.filter((crop) => !chosen || (crop.object_id === chosen.object && (info.prompts.length === 1 || crop.prompt === chosen.prompt)));
  const stamp = shown.map((crop) => crop.sample_id + crop.reason).join();
  if ($("#crops").dataset.stamp === stamp) return;
  $("#crops").dataset.stamp = stamp;
  $("#crops").replaceChildren(...shown.map((crop) => el("figure", { "data-sample": crop.sample_id },
    crop.crop ? el("video", { src: crop.crop, loop: true, autoplay: true, playsinline: true, "aria-label": `Crop of ${crop.prompt} ${crop.object_id}` })
      : el("div", { class: "refused", text: crop.reason }),
    el("figcaption", { class: "soft ellipsis", text: `${crop.prompt} ${crop.object_id}` }))));
  for (const video of $("#crops").querySelectorAll("video")) { video.muted = true; video.play().catch(() => {}); }
  if (!shown.length) $("#crops").append(el("p", { class: "soft small", text: "No crop." }));
}

function swatch(object) {
  const made = el("span", { class: "swatch" });
  made.style.background = css(object.object);
  return made;
}

/** In which frames it is seen. */
function strip(object, info) {
  const made = el("canvas", { class: "strip", width: Math.max(1, info.frames.length), height: 1, role: "img", "aria-label": `seen in ${object.at.size} of ${info.frames.length} frames` });
  const context = made.getContext("2d");
  context.fillStyle = css(object.object);
  for (const n of object.at.keys()) context.fillRect(n, 0, 1, 1);
  return made;
}
