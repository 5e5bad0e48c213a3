// The browse page: histograms whose bars are filters, and the crops that fit them.
import { $, ask, bar, complain, count, el, help, keys } from "/static/common.js";
import { card, close, open } from "/static/browse_cards.js";
import { figure } from "/static/browse_figures.js";
import { chips, facets, fromAddress, orderNames, outcomes, states, toAddress } from "/static/filters.js";

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
    const kept = (filter.outcome ?? "kept") === "kept";
    keepFocus($("#outcomes"), [outcomes(filter, facts, change)]);
    $("#states").replaceChildren(...(kept ? [states(filter, change)] : []));
    $("#label-these").hidden = !kept;
    keepFocus($("#facets"), facets(counted, filter, change));
    keepFocus($("#figures"), counted.figures.map((bins) => figure(bins, filter, change)));
    $("#chips").replaceChildren(chips(filter, facts.figures, change));
    showCrops(found, counted);
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

function showCrops(found, counted) {
  seen.disconnect();
  for (const film of document.querySelectorAll("#crops video")) { film.removeAttribute("src"); film.load(); }
  const kept = `${count(counted.kept)} crop${counted.kept === 1 ? "" : "s"}, ${count(found.labelled)} labelled`;
  const texts = { kept, refused: `${count(counted.refused)} refused`, all: `${kept}; ${count(counted.refused)} refused` };
  $("#total").textContent = texts[filter.outcome ?? "kept"];
  $("#none").textContent = { kept: "No crop fits these filters.", refused: "Nothing that was refused fits these filters." }[filter.outcome] ?? "Nothing fits these filters.";
  $("#crops").replaceChildren(...found.samples.map((sample) => card(sample, facts, () => open(sample, facts))));
  $("#none").hidden = found.total > 0;
  $("#place").textContent = found.total ? `${count(offset + 1)} to ${count(offset + found.samples.length)}` : "";
  $("#before").disabled = offset === 0;
  $("#after").disabled = offset + EACH >= found.total;
  for (const film of document.querySelectorAll("#crops video")) seen.observe(film);
}

/** What the build could not do. */
async function failures() {
  $("#failures").hidden = facts.failures === 0;
  if (!facts.failures) return;
  const found = await ask("GET", "/dataset/failures?limit=1000");
  $("#failures-title").textContent = `${count(found.total)} failure${found.total === 1 ? "" : "s"}`;
  $("#failed").replaceChildren(...found.failures.map((each) => el("li", {}, el("b", { text: each.video }),
    el("span", { class: "soft", text: ` ${each.stage}${each.clip_id ? `, clip ${each.clip_id}` : ""}` }), el("div", { text: each.error }))));
  if (found.failures.length < found.total) $("#failed").append(el("li", { class: "soft", text: `and ${count(found.total - found.failures.length)} more in failures.parquet` }));
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
$("#large").addEventListener("close", close);
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
  await failures();
} catch (error) {
  complain(error);
  $("#none").hidden = false;
  $("#none").textContent = error.status === 404 ? "No dataset is served: start the studio with out=/path/to/dataset." : error.message;
}
