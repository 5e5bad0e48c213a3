// The browse page: histograms whose bars are filters, and the crops that fit them.
import { $, ask, bar, clock, complain, count, el, help, keys, short } from "/static/common.js";
import { chips, facets, fromAddress, orderNames, ranged, states, toAddress } from "/static/filters.js";
import { source } from "/static/player.js";

const EACH = 48;

const top = bar("/browse");
help(top, () => [
  [["←", "→"], "crops before, next crops"], [["Tab"], "through filters, bars and crops"],
  [["Enter"], "filter by a bar, open a crop"], [["Shift", "click"], "a bar: from the chosen one to here"],
  [["Backspace"], "take the last filter away"], [["L"], "label these crops"], [["Esc"], "close a crop"], [["?"], "this help"],
]);

let facts, filter = fromAddress({}), order = "time", offset = 0, total = 0, asked = null, before = [];
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting && !target.src) target.src = target.dataset.src;
}, { rootMargin: "300px" });

function change(next, remembered = true) {
  if (remembered) before.push(filter);
  filter = next;
  offset = 0;
  toAddress(filter);
  load();
}

async function load() {
  asked?.abort();
  const own = asked = new AbortController(), options = { signal: own.signal };
  $("#label-these").href = `/label#${encodeURIComponent(JSON.stringify(filter))}`;
  try {
    const [counted, found] = await Promise.all([
      ask("POST", "/dataset/counts", { filter }, options),
      ask("POST", "/dataset/samples", { filter, order, offset, limit: EACH }, options),
    ]);
    total = found.total;
    $("#states").replaceChildren(states(filter, change));
    keepFocus($("#facets"), facets(counted, filter, change));
    keepFocus($("#figures"), counted.figures.map(figure));
    $("#chips").replaceChildren(chips(filter, facts.figures, change));
    showCrops(found);
  } catch (error) {
    complain(error);
  }
}

/** Put new elements in, and the focus back where it was. */
function keepFocus(place, made) {
  const had = place.contains(document.activeElement) ? { ...document.activeElement.dataset } : null;
  const lists = [...place.querySelectorAll(".values")].map((list) => list.scrollTop);
  place.replaceChildren(...made);
  [...place.querySelectorAll(".values")].forEach((list, n) => { list.scrollTop = lists[n] ?? 0; });
  if (!had) return;
  const same = [...place.querySelectorAll("button")].find((each) => Object.entries(had).every(([key, value]) => each.dataset[key] === value));
  same?.focus();
}

function figure(bins) {
  const range = filter.figures?.[bins.figure];
  const tallest = Math.max(1, ...bins.all), unit = bins.unit && ` ${bins.unit}`;
  const at = (n) => short(bins.edges[n] * bins.scale);
  const inside = (n) => Boolean(range) && bins.edges[n] >= (range.least ?? -Infinity) && bins.edges[n + 1] <= (range.below ?? Infinity);
  const choose = (n, event) => {
    let [least, below] = [bins.edges[n], bins.edges[n + 1]];
    if (event.shiftKey && range) [least, below] = [Math.min(least, range.least ?? least), Math.max(below, range.below ?? below)];
    const same = range && range.least === least && range.below === below;
    change(ranged(filter, bins.figure, same ? null : { least, below }));
  };
  const bars = bins.all.map((all, n) => {
    const here = bins.here[n], back = el("i"), front = el("b");
    const tall = (number) => (number ? `${Math.max(3, 100 * number / tallest)}%` : "0");
    back.style.height = tall(all);
    front.style.height = tall(here);
    const text = `${bins.title} ${at(n)} to ${at(n + 1)}${unit}: ${count(here)} of ${count(all)} crops`;
    return el("button", { "data-figure": bins.figure, "data-bin": n, title: text, "aria-label": text, disabled: !all,
      "aria-pressed": String(inside(n)), onclick: (event) => choose(n, event) }, back, front);
  });
  return el("figure", { class: "panel figure" }, el("figcaption", { title: bins.note }, bins.title, el("span", { text: bins.unit })),
    el("div", { class: range ? "bars some" : "bars", role: "group", "aria-label": `${bins.title}: histogram` }, bars),
    el("div", { class: "axis", "aria-hidden": "true" }, el("span", { text: at(0) }), el("span", { text: at(bins.edges.length - 1) })));
}

function showCrops(found) {
  seen.disconnect();
  for (const film of document.querySelectorAll("#crops video")) { film.removeAttribute("src"); film.load(); }
  $("#total").textContent = `${count(found.total)} crop${found.total === 1 ? "" : "s"}, ${count(found.labelled)} labelled`;
  $("#crops").replaceChildren(...found.samples.map(card));
  $("#none").hidden = found.total > 0;
  $("#place").textContent = found.total ? `${count(offset + 1)} to ${count(offset + found.samples.length)}` : "";
  $("#before").disabled = offset === 0;
  $("#after").disabled = offset + EACH >= found.total;
  for (const film of document.querySelectorAll("#crops video")) seen.observe(film);
}

function card(sample) {
  const film = el("video", { muted: true, loop: true, playsinline: true, preload: "metadata", tabindex: "-1", "aria-hidden": "true", "data-src": `${source(sample)}#t=${sample.num_frames / sample.fps / 2}` });
  film.muted = true;
  const said = sample.label ?? (sample.unsure ? "not sure" : null);
  const play = () => film.play().catch(() => {}), rest = () => film.pause();
  return el("li", {}, el("button", {
    class: "card", "data-id": sample.sample_id, onclick: () => open(sample), onmouseenter: play, onmouseleave: rest, onfocus: play, onblur: rest,
    "aria-label": `${sample.prompt}, ${sample.video}, ${clock(sample.start_s)}, ${said ?? "no label"}`,
  }, el("span", { class: "film" }, film, said && el("span", { class: "chip ellipsis", text: said })),
  el("span", { class: "text" }, el("span", { class: "ellipsis", text: `${sample.prompt} · ${sample.split}` }),
    el("span", { class: "soft ellipsis", title: sample.video, text: `${sample.video.split("/").at(-1)} ${clock(sample.start_s)}` }))));
}

function open(sample) {
  $("#large-title").textContent = `${sample.prompt} · ${sample.video}`;
  const film = $("#film");
  film.src = source(sample);
  film.play().catch(() => {});
  const rows = [["Label", sample.label ?? (sample.unsure ? "not sure" : "none")], ["Said by", sample.author], ["Comment", sample.comment], ["Predicted", sample.predicted],
    ["Time", `${clock(sample.start_s)} to ${clock(sample.end_s)}`], ["Split", sample.split], ["Individual", sample.individual_id], ["Sample", sample.sample_id],
    ...facts.figures.map((each) => [each.title, `${short(sample.figures[each.figure] * each.scale)} ${each.unit}`.trim()])];
  $("#facts").replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  $("#large").showModal();
}

function turn(by) {
  const to = offset + by * EACH;
  if (to < 0 || to >= total) return;
  offset = to;
  load();
  $("#total").scrollIntoView({ block: "start" });
}

$("#before").onclick = () => turn(-1);
$("#after").onclick = () => turn(1);
$("#close").onclick = () => $("#large").close();
$("#large").addEventListener("close", () => { $("#film").pause(); $("#film").removeAttribute("src"); $("#film").load(); });
addEventListener("hashchange", () => change(fromAddress({}), false));

keys((key) => {
  if (key === "ArrowLeft") turn(-1);
  else if (key === "ArrowRight") turn(1);
  else if (key === "Backspace" && before.length) change(before.pop(), false);
  else if (key === "l") $("#label-these").click();
  else return false;
  return true;
});

try {
  facts = await ask("GET", "/dataset");
  document.title = `Browse ${facts.name} – studio`;
  $("#order").append(...Object.entries(orderNames(facts)).map(([value, text]) => el("option", { value, text })));
  $("#order").onchange = (event) => { order = event.currentTarget.value; offset = 0; load(); };
  await load();
} catch (error) {
  complain(error);
  $("#none").hidden = false;
  $("#none").textContent = error.status === 404 ? "No dataset is served: start the studio with out=/path/to/dataset." : error.message;
}
