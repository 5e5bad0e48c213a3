// The label page: crops in a loop, a key per class, everything said is on disk before the next thing is.
import { $, ask, bar, clock, complain, count, el, help, kept, keys, short, toast } from "/static/common.js";
import { editor } from "/static/classes.js";
import { chips, facets, fromAddress, orderNames, ranged, states, toAddress } from "/static/filters.js";
import { Outbox } from "/static/outbox.js";
import { Reel, frameAt, secondAt } from "/static/player.js";

const AHEAD = 12;  // crops that are loaded before they are shown
const FETCH = 60;
const FACTS = ["side", "visible_share", "truncated", "sharpness", "motion", "first_score"];

const reel = new Reel();
const outbox = new Outbox(said);
let facts, classes, filter = fromAddress({ state: "open" });
let order = kept.get("studio-order", "time"), many = kept.get("studio-many", 1), scope = "crop";
let pages = [], here = -1, at = 0, queue = [], last = null, ended = false, fetching = null, round = 0;
let chosen = new Set(), marks = { in: null, out: null }, history = [], times = [], playing = true, total = 0;
let turn = 0;  // of what is said, counted up
const latest = new Map();  // by sample id, the turn of what was said last

const top = bar("/label");
const state = el("div", { class: "state" }, el("span", { id: "saved", text: "" }),
  el("div", { class: "meter", role: "progressbar", "aria-label": "Labelled", "aria-valuemin": "0", id: "meter" }, el("i")), el("span", { id: "progress" }));
top.append(state);
help(top, () => [
  ...(classes?.classes ?? []).filter((each) => each.key).map((each) => [[each.key.toUpperCase()], each.name]),
  [["Shift", "class key"], "the whole individual"], [["N"], "not sure"], [["S"], "skip"],
  [["Z", "Backspace"], "undo, step by step"], [["←", "→"], "the crop before, the next"],
  [["Enter"], "grid: on to the next crops"], [["A"], "grid: choose all; a click chooses one"],
  [["Space"], "pause; grid: choose the crop"], [[",", "."], "a frame back, a frame on"],
  [["I", "O"], "in and out point of a span"], [["X"], "what a key labels: crop, individual, everything"],
  [["C"], "comment"], [["G"], "one crop or a grid"], [["F"], "filters"], [["?"], "this help"],
]);

// ---------------------------------------------------------------- what is shown

const page = () => pages[here] ?? [];
const current = () => page()[at] ?? null;
const video = () => current() && reel.videos.get(current().sample_id);
const spoken = (sample) => sample.label !== null || sample.unsure;

function saidOf(sample) {
  return sample.label ?? (sample.unsure ? "not sure" : "");
}

function show() {
  const samples = page(), one = many === 1;
  const grid = $("#grid");
  grid.classList.toggle("one", one);
  grid.style.setProperty("--across", Math.ceil(Math.sqrt(many)));
  reel.keep([...samples, ...(pages[here + 1] ?? []), ...queue.slice(0, Math.max(AHEAD, many))]);
  grid.replaceChildren(...samples.map((sample, n) => {
    const film = reel.of(sample);
    const cell = el("button", { class: "cell", "data-id": sample.sample_id, onclick: (event) => pressed(n, event) }, film, el("span", { class: "tag" }));
    film.onerror = () => { if (!$(".missing", cell)) cell.append(el("span", { class: "missing", text: "this crop cannot be played" })); };
    if (film.currentTime > 0) film.currentTime = 0;  // even a seek to where it is takes time
    if (playing) film.play().catch(() => {});
    return cell;
  }));
  $("#done").hidden = samples.length > 0;
  $("#line").hidden = !samples.length;
  mark();
}

/** Bring what is said, chosen and current up to date, without touching the videos. */
function mark() {
  const sample = current();
  [...$("#grid").children].forEach((cell, n) => {
    const own = page()[n];
    cell.setAttribute("aria-current", String(n === at));
    cell.setAttribute("aria-pressed", String(chosen.has(own.sample_id)));
    cell.setAttribute("aria-label", `${own.prompt}, ${own.video}, ${clock(own.start_s)}, ${saidOf(own) || "no label"}`);
    cell.classList.toggle("chosen", chosen.has(own.sample_id));
    cell.classList.toggle("said", many > 1 && spoken(own));
    const tag = $(".tag", cell);
    tag.textContent = saidOf(own) + (own.comment ? " ✎" : "");
    tag.hidden = !tag.textContent;
  });
  for (const button of $("#classes").children) button.setAttribute("aria-pressed", String(sample !== null && button.dataset.name === sample.label));
  $("#unsure").setAttribute("aria-pressed", String(Boolean(sample?.unsure)));
  $("#about").textContent = sample ? `${sample.prompt} · ${sample.individual_id ? `${sample.individual_id.slice(0, 8)} · ` : ""}${sample.video}` : "";
  $("#about").title = sample?.video ?? "";
  if (document.activeElement !== $("#comment")) $("#comment").value = sample?.comment ?? "";
  $("#facts").replaceChildren(...(sample ? facts.figures.filter((each) => FACTS.includes(each.figure)).map((each) => el("div", {},
    el("dt", { text: each.title }), el("dd", { text: `${short(sample.figures[each.figure] * each.scale)} ${each.unit}`.trim() }))) : []),
  ...(sample?.predicted ? [el("div", {}, el("dt", { text: "Predicted" }), el("dd", { text: sample.predicted }))] : []));
  marked();
  if (sample && !pages[here + 1]) fill();
}

function progress(labelled) {
  facts.labelled = labelled;
  const meter = $("#meter"), now = performance.now();
  times = times.filter((time) => now - time < 60_000);
  $("i", meter).style.width = `${100 * labelled / Math.max(1, facts.samples)}%`;
  meter.setAttribute("aria-valuemax", facts.samples);
  meter.setAttribute("aria-valuenow", labelled);
  $("#progress").textContent = `${count(labelled)} of ${count(facts.samples)}${times.length > 1 ? ` · ${times.length} a minute` : ""}`;
}

function listClasses() {
  $("#classes").replaceChildren(...classes.classes.map((each) => el("button", {
    "data-name": each.name, "aria-pressed": "false", onclick: (event) => { if (event.detail) event.currentTarget.blur(); say({ label: each.name }, {}, event); },
  }, each.key ? el("kbd", { text: each.key.toUpperCase() }) : el("span", { class: "nokey" }), el("span", { class: "ellipsis", text: each.name }),
  el("span", { class: "n", text: count(classes.counts[each.name] ?? 0) }))));
  if (!classes.classes.length) $("#classes").replaceChildren(el("p", { class: "soft", text: "No classes yet: press Edit." }));
}

function said(waiting, error) {
  $("#saved").textContent = error ? "" : waiting ? "saving…" : "all saved";
  const box = $("#unsaved");
  box.hidden = !error;
  if (error) box.textContent = `${waiting} not saved yet, trying again: ${error.message} Leave this page open.`;
}

// ---------------------------------------------------------------- which crops come next

function fill() {
  if (fetching || ended || queue.length >= 2 * AHEAD + 2 * many) return fetching ?? Promise.resolve();
  const mine = round;
  fetching = ask("POST", "/dataset/samples", { filter, order, after: last, limit: FETCH }).then((found) => {
    if (mine !== round) return;
    const known = new Set(queue.map((each) => each.sample_id));
    queue.push(...found.samples.filter((each) => !known.has(each.sample_id)));
    last = found.samples.at(-1)?.sample_id ?? last;
    ended = found.samples.length < FETCH;
    if (total === null) total = found.total;
    reel.keep([...page(), ...(pages[here + 1] ?? []), ...queue.slice(0, Math.max(AHEAD, many))]);
  }).catch(complain).finally(() => { if (mine === round) fetching = null; });
  return fetching;
}

async function begin() {
  round += 1;
  [pages, here, at, queue, last, ended, fetching, total] = [[], -1, 0, [], null, false, null, null];
  chosen.clear();
  toAddress(filter);
  await fill();
  await next();
  showFilters();
}

async function next() {
  chosen.clear();
  if (here + 1 >= pages.length) {
    if (!queue.length) await fill();
    const taken = queue.splice(0, many);
    if (!taken.length) return finished();
    pages.push(taken);
    if (pages.length > 500) { pages.shift(); here -= 1; }
  }
  here += 1;
  at = Math.max(0, page().findIndex((sample) => !spoken(sample)));
  show();
}

function finished() {
  here = pages.length;
  show();
  $("#done").replaceChildren(el("p", { text: total ? "That was the last one." : "No crop fits this filter." }),
    el("button", { class: "main", text: total ? "Look for what was skipped" : "Show all crops", onclick: () => { if (!total) filter = { state: "any" }; begin(); } }));
}

function back() {
  if (here <= 0) return;
  chosen.clear();
  here -= 1;
  at = 0;
  show();
}

// ---------------------------------------------------------------- saying

const wordOf = ({ sample_id, label, unsure, comment }) => ({ sample_id, label, unsure, comment });

function everywhere(words) {
  const by = new Map(words.map((word) => [word.sample_id, word]));
  for (const sample of [...pages.flat(), ...queue]) {
    const word = by.get(sample.sample_id);
    if (word) Object.assign(sample, { label: word.label, unsure: word.unsure, comment: word.comment });
  }
}

/** Note that something newer is said of these crops; returns its turn, which its answer is compared with. */
function newer(names) {
  turn += 1;
  for (const name of names) latest.set(name, turn);
  return turn;
}

/** Take in what the studio answers, but for crops of which something newer has been said since. */
function counted(answer, own) {
  if (!answer) return;
  for (const [words, by] of [[answer.before, -1], [answer.now, 1]]) {
    for (const { label } of words) if (label !== null) classes.counts[label] = (classes.counts[label] ?? 0) + by;
  }
  everywhere(answer.now.filter((word) => (latest.get(word.sample_id) ?? 0) <= own));
  for (const button of $("#classes").children) if (button.dataset.name) $(".n", button).textContent = count(classes.counts[button.dataset.name] ?? 0);
  progress(answer.labelled);
}

/** Say a label or "not sure" of what a key labels, and go on. */
function say({ label = null, unsure = false }, { all = false } = {}, event = null) {
  const sample = current();
  if (!sample) return;
  const what = all ? "individual" : scope;
  const author = $("#author").value.trim(), started = event?.timeStamp ?? performance.now();
  if (what !== "crop") return sayMany(what, sample, { label, unsure }, author, started);
  const targets = chosen.size ? page().filter((each) => chosen.has(each.sample_id)) : [sample];
  const before = targets.map(wordOf);
  const words = before.map((word) => ({ ...word, label, unsure }));
  remember({ ids: before.map((word) => word.sample_id), before });
  const own = newer(before.map((word) => word.sample_id));
  outbox.send("/dataset/labels", { words, author }, (answer) => counted(answer, own));
  times.push(...targets.map(() => performance.now()));
  everywhere(words);
  flash(label, unsure, started);
}

function sayMany(what, sample, word, author, started) {
  const span = spanNow(sample);
  if (what === "everything" && !span) return toast("Everything in view needs a span: set in (I) and out (O) first.", true);
  if (what === "individual" && !sample.individual_id) return toast("Nobody knows which individual this is: label the crop by itself.", true);
  const entry = { ids: [sample.sample_id], before: null }, own = newer(entry.ids);
  remember(entry);
  outbox.send("/dataset/labels/many", { of: what, sample_id: sample.sample_id, ...word, author, ...(span && { start_s: span[0], end_s: span[1] }) }, (answer) => {
    entry.before = answer ? answer.before : [];
    counted(answer, own);
    if (answer) toast(answer.now.length ? `${count(answer.now.length)} crops: ${word.label ?? "not sure"}` : "Kept. No crop lies in this span with half of its time.");
    mark();
  });
  times.push(performance.now());
  everywhere([{ ...wordOf(sample), ...word }]);
  marks = { in: null, out: null };
  setScope("crop");
  flash(word.label, word.unsure, started);
}

function flash(label, unsure, started) {
  const name = label ?? (unsure ? "not sure" : "no label");
  const button = [...$("#classes").children].find((each) => each.dataset.name === label) ?? (unsure ? $("#unsure") : null);
  button?.classList.add("hit");
  setTimeout(() => button?.classList.remove("hit"), 160);
  $("#said").textContent = name;
  onwards(started);
}

async function onwards(started) {
  chosen.clear();
  const open = page().findIndex((sample, n) => n > at && !spoken(sample));
  const earlier = page().findIndex((sample) => !spoken(sample));
  if (many > 1 && (open >= 0 || earlier >= 0)) {
    at = open >= 0 ? open : earlier;
    return mark();
  }
  await next();
  timed(video(), started);
}

/** Note how long it took from a key until the crop was on the screen: a loaded video is painted with the next frame. */
function timed(film, started) {
  if (!film) return;
  const seen = () => performance.measure("key to crop", { start: started, end: performance.now() });
  if (film.readyState >= 2) requestAnimationFrame(() => requestAnimationFrame(seen));
  else film.requestVideoFrameCallback?.(seen);
}

function remember(entry) {
  history.push(entry);
  if (history.length > 500) history.shift();
  keepHistory();
}

/** What can be undone outlives a reload of the page. */
function keepHistory() {
  const ready = history.filter((entry) => entry.before && entry.before.length <= 50).slice(-200);
  try { sessionStorage.setItem(`studio-history-${facts.name}`, JSON.stringify(ready)); } catch { /* it is only kept in the page */ }
}

async function undo() {
  const entry = history.pop();
  if (!entry) return toast("Nothing to undo.");
  const author = $("#author").value.trim(), own = newer(entry.before?.map((word) => word.sample_id) ?? entry.ids);
  outbox.send("/dataset/labels", () => (entry.before?.length ? { words: entry.before, author } : null), (answer) => { counted(answer, own); mark(); });
  if (entry.before) everywhere(entry.before);
  times.pop();
  keepHistory();
  const place = pages.findIndex((each) => each.some((sample) => sample.sample_id === entry.ids[0]));
  if (place < 0) {
    try {
      const sample = await ask("GET", `/dataset/samples/${encodeURIComponent(entry.ids[0])}`);
      pages.splice(Math.max(0, here), 0, [{ ...sample, ...entry.before?.find((word) => word.sample_id === sample.sample_id) }]);
      here = Math.max(0, here);
    } catch (error) {
      return complain(error);
    }
  } else here = place;
  at = page().findIndex((sample) => sample.sample_id === entry.ids[0]);
  chosen.clear();
  show();
  $("#said").textContent = "undone";
}

function comment() {
  const sample = current(), text = $("#comment").value.trim();
  $("#comment").blur();
  if (!sample || text === sample.comment) return;
  const before = [wordOf(sample)], own = newer([sample.sample_id]);
  remember({ ids: [sample.sample_id], before });
  everywhere([{ ...before[0], comment: text }]);
  outbox.send("/dataset/labels", { words: [{ ...before[0], comment: text }], author: $("#author").value.trim() }, (answer) => counted(answer, own));
  mark();
}

// ---------------------------------------------------------------- spans and what a key labels

function setScope(what) {
  scope = what;
  for (const button of $("#scope").children) button.setAttribute("aria-pressed", String(button.dataset.scope === what));
  marked();
}

function spanNow(sample) {
  if (!marks.in || !marks.out || marks.in.video !== sample.video || marks.out.video !== sample.video) return null;
  const span = [marks.in.at, marks.out.at].sort((a, b) => a - b);
  return span[0] < span[1] ? span : null;
}

function point(which) {
  const sample = current();
  if (!sample) return;
  marks[which] = { video: sample.video, at: secondAt(video(), sample) };
  const span = spanNow(sample);
  if (span && scope === "crop") setScope(sample.individual_id ? "individual" : "everything");
  marked();
}

function marked() {
  const sample = current(), span = sample && spanNow(sample);
  const of = (mark) => (mark ? clock(mark.at) : "–");
  $("#marks").textContent = marks.in || marks.out ? `${of(marks.in)} to ${of(marks.out)}` : "";
  $("#clear").hidden = !marks.in && !marks.out;
  const when = span ? ` from ${clock(span[0])} to ${clock(span[1])}` : "";
  $("#scope-note").textContent = {
    crop: chosen.size ? `The ${chosen.size} chosen crops.` : "The crop in view. Shift and a class key: the whole individual.",
    individual: sample?.individual_id ? `Every crop of ${sample.individual_id.slice(0, 8)}${when || " in this video"}.` : "Nobody knows which individual this is.",
    everything: span ? `All that is seen${when}.` : "All that is seen in a span: set in and out.",
  }[scope];
  const bar = $("#span"), lasts = sample ? Math.max(1e-6, sample.end_s - sample.start_s) : 1;
  const part = (mark, otherwise) => Math.min(1, Math.max(0, mark && mark.video === sample?.video ? (mark.at - sample.start_s) / lasts : otherwise));
  const [a, b] = marks.in || marks.out ? [part(marks.in, 0), part(marks.out, 1)].sort((x, y) => x - y) : [0, 0];
  bar.style.left = `${100 * a}%`;
  bar.style.width = `${100 * (b - a)}%`;
}

// ---------------------------------------------------------------- filters

function refilter(changed) {
  filter = changed;
  begin();
}

async function showFilters() {
  try {
    const counted = await ask("POST", "/dataset/counts", { filter });
    const range = el("div", { class: "row" });
    const figure = el("select", { "aria-label": "Quality figure" }, facts.figures.map((each) => el("option", { value: each.figure, text: `${each.title} ${each.unit}` })));
    const [least, below] = ["from", "to"].map((name) => el("input", { type: "number", step: "any", placeholder: name, "aria-label": name }));
    range.append(figure, least, below, el("button", { text: "Filter by quality", onclick: () => {
      const own = facts.figures.find((each) => each.figure === figure.value);
      const bound = (input) => (input.value === "" ? null : Number(input.value) / own.scale);
      refilter(ranged(filter, figure.value, least.value === "" && below.value === "" ? null : { least: bound(least), below: bound(below) }));
    } }));
    $("#filter").replaceChildren(chips(filter, facts.figures, refilter), states(filter, refilter),
      el("p", { class: "soft small", text: `${count(counted.total)} crops` }), ...facets(counted, filter, refilter),
      el("section", { class: "facet" }, el("h3", { text: "Quality" }), range));
  } catch (error) {
    complain(error);
  }
}

// ---------------------------------------------------------------- hands

function pressed(n, event) {
  if (event.detail) event.currentTarget.blur();
  if (many === 1) return pause();
  at = n;
  const id = page()[n].sample_id;
  if (chosen.has(id)) chosen.delete(id); else chosen.add(id);
  mark();
}

function pause() {
  playing = !playing;
  for (const sample of page()) {
    const film = reel.of(sample);
    if (playing) film.play().catch(() => {}); else film.pause();
  }
}

function step(by) {
  const film = video(), sample = current();
  if (!film || !(film.duration > 0)) return;
  if (playing) pause();
  const frame = (frameAt(film, sample) + by + sample.num_frames) % sample.num_frames;
  film.currentTime = (frame + 0.5) / sample.num_frames * film.duration;
}

function setMany(number) {
  many = number;
  kept.set("studio-many", many);
  for (const button of $("#many").children) button.setAttribute("aria-pressed", String(Number(button.dataset.many) === many));
}

function regrid(number) {
  const ahead = pages.slice(Math.max(0, here)).flat();
  setMany(number);
  queue = [...ahead, ...queue];
  pages = pages.slice(0, Math.max(0, here));
  here = pages.length - 1;
  next();
}

function move(by) {
  if (many === 1) return by > 0 ? next() : back();
  const to = at + by;
  if (to < 0) return back();
  if (to >= page().length) return next();
  at = to;
  mark();
}

const ACTS = {
  s: () => move(1), n: (event) => say({ unsure: true }, {}, event), z: undo, Backspace: undo, "ctrl+z": undo,
  ArrowLeft: () => move(-1), ArrowRight: () => move(1),
  ArrowUp: () => many > 1 && move(-Math.ceil(Math.sqrt(many))), ArrowDown: () => many > 1 && move(Math.ceil(Math.sqrt(many))),
  Enter: () => next(), PageDown: () => next(), PageUp: back, ",": () => step(-1), ".": () => step(1),
  Space: () => (many === 1 ? pause() : pressed(at, {})), i: () => point("in"), o: () => point("out"),
  x: () => setScope({ crop: "individual", individual: "everything", everything: "crop" }[scope]),
  c: () => $("#comment").focus(), g: () => regrid(many === 1 ? 9 : 1),
  f: () => { const box = $("#filters"); box.open = !box.open; box.scrollIntoView({ block: "nearest" }); },
  a: () => { if (many > 1) { page().forEach((sample) => chosen.add(sample.sample_id)); mark(); } },
};

keys((key, event) => {
  const plain = key.replace("shift+", "");
  const own = classes?.classes.find((each) => each.key === plain);
  if (event.repeat && (own || ["n", "s", "z", "Backspace"].includes(key))) return true;
  if (own) {
    say({ label: own.name }, { all: key.startsWith("shift+") }, event);
    return true;
  }
  if (!ACTS[key]) return false;
  ACTS[key](event);
  return true;
});

$("#unsure").onclick = (event) => { event.currentTarget.blur(); say({ unsure: true }, {}, event); };
$("#skip").onclick = (event) => { event.currentTarget.blur(); move(1); };
$("#undo").onclick = (event) => { event.currentTarget.blur(); undo(); };
$("#in").onclick = () => point("in");
$("#out").onclick = () => point("out");
$("#clear").onclick = () => { marks = { in: null, out: null }; setScope("crop"); };
$("#comment").addEventListener("keydown", (event) => {
  if (event.key === "Enter") comment();
  if (event.key === "Escape") { event.currentTarget.value = current()?.comment ?? ""; event.currentTarget.blur(); }
});
$("#line").addEventListener("click", (event) => {
  const film = video(), box = event.currentTarget.getBoundingClientRect();
  if (film?.duration > 0) film.currentTime = (event.clientX - box.left) / box.width * film.duration;
});
for (const button of $("#scope").children) button.onclick = () => setScope(button.dataset.scope);
for (const button of $("#many").children) button.onclick = () => { button.blur(); regrid(Number(button.dataset.many)); };
for (const button of $("#speed").children) {
  button.onclick = () => {
    reel.faster(Number(button.dataset.speed));
    for (const each of $("#speed").children) each.setAttribute("aria-pressed", String(each === button));
  };
}
$("#author").value = kept.get("studio-author", "");
$("#author").onchange = (event) => kept.set("studio-author", event.currentTarget.value.trim());

function tick() {
  const film = video(), sample = current();
  if (film && sample && film.duration > 0) {
    $("#head").style.left = `${100 * film.currentTime / film.duration}%`;
    $("#clock").textContent = `${clock(secondAt(film, sample))} · frame ${frameAt(film, sample) + 1} of ${sample.num_frames}`;
  }
  requestAnimationFrame(tick);
}

try {
  [facts, classes] = await Promise.all([ask("GET", "/dataset"), ask("GET", "/dataset/classes")]);
  document.title = `Label ${facts.name} – studio`;
  try { history = JSON.parse(sessionStorage.getItem(`studio-history-${facts.name}`)) ?? []; } catch { history = []; }
  const names = orderNames(facts);
  if (!names[order]) order = "time";
  $("#order").append(...Object.entries(names).map(([value, text]) => el("option", { value, text, selected: value === order })));
  $("#order").onchange = (event) => { order = event.currentTarget.value; kept.set("studio-order", order); event.currentTarget.blur(); begin(); };
  const change = (answer) => { classes = answer; listClasses(); mark(); };
  const edit = editor(change);
  $("#edit").onclick = () => edit(classes);
  listClasses();
  setMany([1, 4, 9, 16].includes(many) ? many : 1);
  $("#speed").children[1].setAttribute("aria-pressed", "true");
  setScope("crop");
  progress(facts.labelled);
  said(outbox.waiting, null);
  await begin();
  tick();
} catch (error) {
  complain(error);
  $("#done").hidden = false;
  $("#done").textContent = error.status === 404 ? "No dataset is served: start the studio with out=/path/to/dataset." : error.message;
}
