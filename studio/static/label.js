// The label page: crops in a loop, a key per class, everything said is on disk before the next thing is.
import { $, ask, bar, clock, complain, el, help, kept, keys, toast } from "/static/common.js";
import { editor } from "/static/classes.js";
import { fromAddress, orderNames, panel, toAddress } from "/static/filters.js";
import { saidOf, showAbout, showClasses, showCounts, showProgress } from "/static/label_about.js";
import { Scope } from "/static/label_scope.js";
import { Trail, spoken } from "/static/label_trail.js";
import { Words } from "/static/label_words.js";
import { Outbox } from "/static/outbox.js";
import { Reel, frameAt, secondAt } from "/static/player.js";

const AHEAD = 12;  // crops that are loaded before they are shown

const reel = new Reel(), trail = new Trail(), outbox = new Outbox(said);
const scope = new Scope(() => ({ sample: current(), second: () => secondAt(video(), current()), chosen: chosen.size }));
const { outcome: _, reason: __, ...wanted } = fromAddress({ state: "open" });  // only crops can be labelled
let facts, classes, words, filter = wanted;
let order = kept.get("studio-order", "time"), many = kept.get("studio-many", 1);
let chosen = new Set(), times = [], playing = true;

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

const page = () => trail.page;
const current = () => trail.current;
const video = () => current() && reel.videos.get(current().sample_id);

function show() {
  const samples = page(), one = many === 1;
  const grid = $("#grid");
  grid.classList.toggle("one", one);
  grid.style.setProperty("--across", Math.ceil(Math.sqrt(many)));
  reel.keep(trail.ahead(Math.max(AHEAD, many)));
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
    cell.setAttribute("aria-current", String(n === trail.at));
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
  showAbout(sample, facts.figures);
  scope.show();
  if (sample) fill();
}

function progress(labelled) {
  facts.labelled = labelled;
  times = times.filter((time) => performance.now() - time < 60_000);
  showProgress(labelled, facts.samples, times.length);
}

function listClasses() {
  showClasses(classes, (name, event) => say({ label: name }, {}, event));
}

function said(waiting, error) {
  $("#saved").textContent = error ? "" : waiting ? "saving…" : "all saved";
  const box = $("#unsaved");
  box.hidden = !error;
  if (error) box.textContent = `${waiting} not saved yet, trying again: ${error.message} Leave this page open.`;
}

// ---------------------------------------------------------------- which crops come next

async function fill() {
  try {
    await trail.fill(2 * AHEAD + 2 * many);
    reel.keep(trail.ahead(Math.max(AHEAD, many)));
  } catch (error) {
    complain(error);
  }
}

async function begin() {
  trail.reset(filter, order);
  toAddress(filter);
  await next();
  showFilters();
}

async function next() {
  chosen.clear();
  if (trail.here + 1 >= trail.pages.length && !trail.queue.length) await fill();
  const more = trail.next(many);
  show();
  if (!more) finished();
}

function finished() {
  const [text, button, act] = !trail.ended ? ["The next crops have not come.", "Try again", next]
    : trail.total ? ["That was the last one.", "Look for what was skipped", begin]
      : ["No crop fits this filter.", "Show all crops", () => refilter({ state: "any" })];
  $("#done").replaceChildren(el("p", { text }), el("button", { class: "main", text: button, onclick: act }));
}

function back() {
  if (!trail.back()) return;
  chosen.clear();
  show();
}

// ---------------------------------------------------------------- saying

/** Classes have gained (by 1) or lost (by -1) these words. */
function counts(words, by) {
  for (const { label } of words) if (label !== null) classes.counts[label] = (classes.counts[label] ?? 0) + by;
  showCounts(classes);
}

/** Say a label or "not sure" of what a key labels, and go on. */
function say({ label = null, unsure = false }, { all = false } = {}, event = null) {
  const sample = current();
  if (!sample) return;
  const what = all ? "individual" : scope.what, started = event?.timeStamp ?? performance.now();
  if (what !== "crop") return sayMany(what, sample, { label, unsure }, started);
  const targets = chosen.size ? page().filter((each) => chosen.has(each.sample_id)) : [sample];
  words.say(targets, { label, unsure });
  times.push(...targets.map(() => performance.now()));
  flash(label, unsure, started);
}

function sayMany(what, sample, word, started) {
  const span = scope.span(sample);
  if (what === "everything" && !span) return toast("Everything in view needs a span: set in (I) and out (O) first.", true);
  if (what === "individual" && !sample.individual_id) return toast("Nobody knows which individual this is: label the crop by itself.", true);
  words.many(what, sample, word, span);
  times.push(performance.now());
  scope.reset();
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
  const open = page().findIndex((sample, n) => n > trail.at && !spoken(sample));
  const earlier = page().findIndex((sample) => !spoken(sample));
  if (many > 1 && (open >= 0 || earlier >= 0)) {
    trail.at = open >= 0 ? open : earlier;
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

async function undo() {
  try {
    if (!(await words.undo())) return toast("Nothing to undo.");
  } catch (error) {
    return complain(error);
  }
  times.pop();
  chosen.clear();
  show();
  $("#said").textContent = "undone";
}

function comment() {
  const sample = current(), text = $("#comment").value.trim();
  $("#comment").blur();
  if (!sample || text === sample.comment) return;
  words.comment(sample, text);
  mark();
}

// ---------------------------------------------------------------- filters

function refilter(changed) {
  filter = changed;
  begin();
}

async function showFilters() {
  try {
    $("#filter").replaceChildren(...panel(await ask("POST", "/dataset/counts", { filter }), filter, facts.figures, refilter));
  } catch (error) {
    complain(error);
  }
}

// ---------------------------------------------------------------- hands

function pressed(n, event) {
  if (event.detail) event.currentTarget.blur();
  if (many === 1) return pause();
  trail.at = n;
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
  setMany(number);
  trail.gather();
  next();
}

function move(by) {
  if (many === 1) return by > 0 ? next() : back();
  const to = trail.at + by;
  if (to < 0) return back();
  if (to >= page().length) return next();
  trail.at = to;
  mark();
}

const ACTS = {
  s: () => move(1), n: (event) => say({ unsure: true }, {}, event), z: undo, Backspace: undo, "ctrl+z": undo,
  ArrowLeft: () => move(-1), ArrowRight: () => move(1),
  ArrowUp: () => many > 1 && move(-Math.ceil(Math.sqrt(many))), ArrowDown: () => many > 1 && move(Math.ceil(Math.sqrt(many))),
  Enter: () => next(), PageDown: () => next(), PageUp: back, ",": () => step(-1), ".": () => step(1),
  Space: () => (many === 1 ? pause() : pressed(trail.at, {})), i: () => scope.point("in"), o: () => scope.point("out"), x: () => scope.turn(),
  c: () => $("#comment").focus(), g: () => regrid(many === 1 ? 9 : 1),
  f: () => { const box = $("#filters"); box.open = !box.open; box.scrollIntoView({ block: "nearest" }); },
  a: () => { if (many > 1) { page().forEach((sample) => chosen.add(sample.sample_id)); mark(); } },
};

keys((key, event) => {
  if (!words) return false;
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
$("#comment").addEventListener("keydown", (event) => {
  if (event.key === "Enter") comment();
  if (event.key === "Escape") { event.currentTarget.value = current()?.comment ?? ""; event.currentTarget.blur(); }
});
$("#line").addEventListener("click", (event) => {
  const film = video(), box = event.currentTarget.getBoundingClientRect();
  if (film?.duration > 0) film.currentTime = (event.clientX - box.left) / box.width * film.duration;
});
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
  words = new Words(facts.name, trail, outbox, { author: () => $("#author").value.trim(), counts, labelled: progress, changed: mark });
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
  scope.set("crop");
  progress(facts.labelled);
  said(outbox.waiting, null);
  await begin();
  tick();
} catch (error) {
  complain(error);
  $("#done").hidden = false;
  $("#done").textContent = error.status === 404 ? "No dataset is served: start the studio with out=/path/to/dataset." : error.message;
}
