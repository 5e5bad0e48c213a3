// A crop or a refused object among others, and large.
import { $, clock, el, short } from "/static/common.js";
import { source } from "/static/player.js";

const shot = (sample) => `/dataset/thumbnails/${encodeURIComponent(sample.sample_id)}`;

/** Why it was refused: its figure's value, and what the filter asked for; nothing where the reason has none. */
export function because(sample, facts) {
  const figure = facts.figures.find((each) => each.reason === sample.reason), scale = figure?.scale ?? 1;
  if (sample.value === null) return "";
  const number = (value) => `${short(value * scale)} ${figure?.unit ?? ""}`.trim();
  return `${number(sample.value)}${sample.threshold === null ? "" : `, limit ${number(sample.threshold)}`}`;
}

/** open: called when it is pressed. */
export function card(sample, facts, open) {
  return sample.reason === undefined ? kept(sample, open) : refused(sample, facts, open);
}

function kept(sample, open) {
  const film = el("video", { muted: true, loop: true, playsinline: true, preload: "metadata", tabindex: "-1", "aria-hidden": "true", "data-src": `${source(sample)}#t=${sample.num_frames / sample.fps / 2}` });
  film.muted = true;
  const said = sample.label ?? (sample.unsure ? "not sure" : null);
  const play = () => film.play().catch(() => {}), rest = () => film.pause();
  return el("li", {}, el("button", {
    class: "card", "data-id": sample.sample_id, onclick: open, onmouseenter: play, onmouseleave: rest, onfocus: play, onblur: rest,
    "aria-label": `${sample.prompt}, ${sample.video}, ${clock(sample.start_s)}, ${said ?? "no label"}`,
  }, el("span", { class: "film" }, film, said && el("span", { class: "chip ellipsis", text: said })),
  el("span", { class: "text" }, el("span", { class: "ellipsis", text: `${sample.prompt} · ${sample.split}` }),
    el("span", { class: "soft ellipsis", title: sample.video, text: `${sample.video.split("/").at(-1)} ${clock(sample.start_s)}` }))));
}

function refused(sample, facts, open) {
  const why = because(sample, facts), what = sample.prompt ?? "clip", title = `${sample.reason} ${why}`.trim();
  const picture = sample.picture ? el("img", { src: shot(sample), loading: "lazy", alt: "" }) : el("span", { class: "blank soft", text: sample.object_id === null ? "whole clip" : "no picture" });
  return el("li", {}, el("button", { class: "card refused", "data-id": sample.sample_id ?? sample.clip_id, onclick: open, "aria-label": `refused: ${what}, ${sample.video}, ${title}` },
    el("span", { class: "film" }, picture, el("span", { class: "chip ellipsis", text: sample.reason })),
    el("span", { class: "text" }, el("span", { class: "ellipsis", title, text: why || sample.reason }),
      el("span", { class: "soft ellipsis", title: sample.video, text: `${what} · ${sample.video.split("/").at(-1)}` }))));
}

/** Show it large, with all that is known of it. */
export function open(sample, facts) {
  const gone = sample.reason !== undefined, [film, still] = [$("#film"), $("#still")];
  $("#large-title").textContent = `${sample.prompt ?? "Clip"} · ${sample.video}`;
  film.hidden = gone;
  still.hidden = !gone || !sample.picture;
  if (!still.hidden) still.src = shot(sample);
  if (!gone) {
    film.src = source(sample);
    film.play().catch(() => {});
  }
  const about = gone ? [["Refused by", sample.reason], ["Because", because(sample, facts)], ["Clip", sample.clip_id]]
    : [["Label", sample.label ?? (sample.unsure ? "not sure" : "none")], ["Said by", sample.author], ["Comment", sample.comment], ["Predicted", sample.predicted],
      ["Time", `${clock(sample.start_s)} to ${clock(sample.end_s)}`], ["Split", sample.split], ["Individual", sample.individual_id]];
  const figures = facts.figures.filter((each) => sample.figures[each.figure] !== undefined)
    .map((each) => [each.title, `${short(sample.figures[each.figure] * each.scale)} ${each.unit}`.trim()]);
  const rows = [...about, ["Sample", sample.sample_id], ...figures];
  $("#facts").replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  $("#large").showModal();
}

/** The large one was closed. */
export function close() {
  $("#film").pause();
  $("#film").removeAttribute("src");
  $("#film").load();
  $("#still").removeAttribute("src");
}
