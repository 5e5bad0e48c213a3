// Correct: open a window, put its tracks right, apply. What is done is written at once; Z takes it back.
import { $, ask, bar, clock, complain, el, help, kept, keys, toast } from "/static/common.js";
import { Applying } from "/static/correct_apply.js";
import { Clicks } from "/static/correct_clicks.js";
import { List } from "/static/correct_list.js";
import { Masks } from "/static/correct_masks.js";
import { nameOf, said, showCrops, showEntries, showLinks, showObjects } from "/static/correct_side.js";
import { Stage } from "/static/correct_stage.js";

/** object: the name of the chosen one. mode: merge, swap, refine or add. held: who may be the same as in another window. */
const page = { info: null, masks: null, object: null, mode: null, held: null, busy: false, asked: 0 };
const list = new List((window) => open(window));
const stage = new Stage({ frame: remember, click: clicked, drag: (box) => clicks.now && clicks.box(box) });
const clicks = new Clicks(stage, { changed: () => { showTools(); stage.draw(); }, write });
const building = new Applying(async () => { await list.load(false); if (page.info) await reload(); });

const TOOLS = [
  ["Delete", "Delete", "remove", () => write("remove", {})],
  ["Merge into…", "M", "merge", () => choose("merge")],
  ["Swap with…", "S", "swap", () => choose("swap")],
  ["Split here", "C", "split", () => write("split", {})],
  ["Same as…", "I", "same", () => same("same")],
  ["Click", "E", "refine", () => aim("refine")],
  ["New object", "A", "add", () => aim("add")],
];
const AIMED = [["Follow", "F", "follow", () => clicks.follow()], ["Write", "Enter", "write", () => clicks.write()]];

// -- a window ---------------------------------------------------------------------------------------------------------

async function open(window, frame = 0) {
  leave();
  page.object = null;
  await load(window, frame);
  list.at(page.info?.window ?? null);
}

async function load(window, frame) {
  const mine = ++page.asked;
  try {
    const [info, masks] = await Promise.all([ask("GET", `/dataset/windows/${window}`), ask("GET", `/dataset/windows/${window}/masks`)]);
    if (mine !== page.asked) return;
    Object.assign(page, { info, masks: new Masks(masks.objects) });
    if (!chosen()) page.object = null;
    stage.open(info, page.masks, frame);
    show();
  } catch (error) {
    complain(error);
  }
}

const reload = () => load(page.info.window, stage.n);
const chosen = () => page.masks?.objects.find((object) => nameOf(object) === page.object) ?? null;

function show() {
  const { info } = page, object = chosen();
  $("#title").textContent = $("#title").title = info.video;
  $("#why").textContent = [info.error ?? info.why.join(" · "), info.waiting ? "clicks are followed when you apply" : ""].filter(Boolean).join(" · ");
  Object.assign(stage, { selected: object?.object ?? null, prompt: object?.prompt ?? null });
  stage.draw();
  showObjects(info, page.masks.objects, object, take);
  showEntries(info, undo);
  showLinks(info, page.masks.objects, object, { open, say: (kind, link) => word(kind, link.object, link.prompt, link.other, link.window) });
  $("#stale").hidden = !info.unapplied;
  showCrops(info, object);
  showTools();
}

function showTools() {
  const { info, mode } = page, object = chosen(), several = object && page.masks.objects.length > 1;
  const click = info && (info.clicks.show || info.clicks.build);
  const can = {
    remove: object, merge: several, swap: several, split: object, same: object, refine: object && click, add: click,
    follow: clicks.any && info?.clicks.show && !clicks.byBuild, write: clicks.any,
  };
  const button = ([name, key, kind, run]) => el("button", {
    disabled: !can[kind], "aria-pressed": mode === kind ? "true" : null, class: kind === "write" && "main", onclick: run, "data-do": kind, text: `${name} `,
  }, el("kbd", { text: key }));
  $("#tools").replaceChildren(...TOOLS.map(button));
  $("#aimed").replaceChildren(...AIMED.map(button));
  const aiming = "Click: in it. Right or shift click: not in it. Drag: a box.";
  const words = { merge: "Merge into which object? Click it or press its number.", swap: "Swap with which object from here on?", refine: aiming, add: aiming };
  const held = page.held && `${page.held.name} of ${clock(page.held.start)}: in another window, I says it is the same as the chosen object, D that it is not.`;
  $("#mode").textContent = words[mode] ?? held ?? "";
  $("#mode").hidden = !mode && !page.held;
  $("#canvas").classList.toggle("aim", clicks.now !== null);
  clicks.say();
}

// -- corrections ------------------------------------------------------------------------------------------------------

function take(object) {
  if (page.mode === "merge" || page.mode === "swap") {
    const [kind, mine] = [page.mode, chosen()];
    if (!object || nameOf(object) === page.object) return;
    if (object.prompt !== mine.prompt) { toast(`${nameOf(object)} was found by another prompt: only objects of one prompt can be put together`, true); return; }
    page.mode = null;
    write(kind, { other: object.object });
    return;
  }
  if (page.mode) leave();
  page.object = object ? nameOf(object) : null;
  show();
}

function choose(kind) {
  if (!chosen() || page.masks.objects.length < 2) return;
  leave();
  page.mode = kind;
  showTools();
}

async function write(kind, more, frame = stage.n) {
  const object = chosen(), author = $("#author").value.trim(), fresh = kind === "add" || kind === "draw";
  if (page.busy || (!object && !fresh)) return false;
  if (!author) {
    $("#author").focus();
    toast("First your name, please: every correction says who made it.", true);
    return false;
  }
  page.busy = true;
  try {
    const prompt = page.info.prompts.length > 1 ? object?.prompt ?? page.info.prompts[0] : undefined;
    const body = { do: kind, frame: page.info.frames[frame], object: fresh ? undefined : object.object, prompt, author, ...more };
    const { entry } = await ask("POST", `/dataset/windows/${page.info.window}/corrections`, body);
    const now = { merge: entry.into, split: entry.as, add: entry.object, draw: entry.object }[kind];
    if (kind === "remove") page.object = null;
    else if (now !== undefined) page.object = `${object?.prompt ?? page.info.prompts[0]} ${now}`;
    leave();
    await reload();
    list.counted(1);
    toast(`${said(entry)} · Z takes it back`);
    return true;
  } catch (error) {
    complain(error);
    showTools();
    return false;
  } finally {
    page.busy = false;
  }
}

/** Say of two objects in two windows whether they are one individual: the chosen one is held until the other is. */
function same(kind) {
  const object = chosen(), { held } = page;
  if (!object) return;
  if (held && held.window !== page.info.window) {
    if (held.prompt !== object.prompt) { toast("Only objects of one prompt can be one individual.", true); return; }
    word(kind, object.object, object.prompt, held.object, held.window);
  } else if (kind === "same") {
    page.held = { window: page.info.window, object: object.object, prompt: object.prompt, name: nameOf(object), start: page.info.times_s[0] };
    showTools();
  }
}

async function word(kind, object, prompt, other, window) {
  page.object = `${prompt} ${object}`;
  if (await write(kind, { other, at_window: window })) {
    page.held = null;
    toast("Apply links the individuals anew.");
    showTools();
  }
}

async function undo(id = page.info?.corrections.at(-1)?.id) {
  if (!id || page.busy) return;
  page.busy = true;
  try {
    await ask("DELETE", `/dataset/windows/${page.info.window}/corrections/${id}`);
    await reload();
    list.counted(-1);
    toast("taken back");
  } catch (error) {
    complain(error);
  } finally {
    page.busy = false;
  }
}

// -- clicks -----------------------------------------------------------------------------------------------------------

function aim(kind) {
  const { info } = page;
  if (!info || !(info.clicks.show || info.clicks.build) || (kind === "refine" && !chosen())) return;
  leave();
  if (kind === "add") page.object = null;
  page.mode = kind;
  stage.stop();
  clicks.begin(kind, info, chosen());
  if (info.clicks.why) toast(info.clicks.why, false, 6);
  show();
}

function clicked(place, minus) {
  if (clicks.now) clicks.point(place, minus);
  else take(page.masks.hit(...place, stage.n));
}

function leave() {
  page.mode = null;
  clicks.end();
  if (page.info) { showTools(); stage.draw(); }
}

// -- the page ---------------------------------------------------------------------------------------------------------

/** The address leads back here; browsers allow few changes of it a second. */
function remember(n) {
  clearTimeout(page.remembering);
  page.remembering = setTimeout(() => history.replaceState(null, "", `#${page.info.window}/${n}`), 250);
}

const KEYS = {
  ArrowLeft: () => stage.go(stage.n - 1), ArrowRight: () => stage.go(stage.n + 1),
  "shift+ArrowLeft": () => stage.go(stage.n - 10), "shift+ArrowRight": () => stage.go(stage.n + 10),
  Home: () => stage.go(0), End: () => stage.go(stage.last), Space: () => stage.play(),
  n: () => list.step(1), p: () => list.step(-1), PageDown: () => list.step(1), PageUp: () => list.step(-1),
  Delete: () => write("remove", {}), x: () => write("remove", {}), m: () => choose("merge"), s: () => choose("swap"), c: () => write("split", {}),
  e: () => aim("refine"), a: () => aim("add"), f: () => clicks.follow(), b: () => clicks.now && clicks.other(), Enter: () => clicks.write(),
  z: () => undo(), "ctrl+z": () => undo(),
  o: () => { stage.shown = !stage.shown; stage.draw(); },
  i: () => same("same"), d: () => same("different"),
  Escape: () => { if (page.mode) leave(); else if (page.held) { page.held = null; showTools(); } else take(null); }, "shift+Enter": () => building.start(),
};

keys((key) => {
  if (!page.info) return false;
  if (/^[1-9]$/.test(key)) {
    const object = page.masks.objects[Number(key) - 1];
    if (object) take(object);
    return Boolean(object);
  }
  const run = KEYS[key];
  if (run) run();
  return Boolean(run);
});

help(bar("/correct"), () => [
  [["←", "→"], "frame by frame; with ⇧ ten at once"], [["Home", "End"], "first and last frame"], [["Space"], "play, stop"],
  [["N", "P"], "next and previous window"], [["1", "9"], "choose an object; or click it"], [["Delete"], "delete the object from this window; X too"],
  [["M"], "merge it into another: then its number, or click it"], [["S"], "swap ids with another from this frame on"],
  [["C"], "cut: from this frame on it is another object"], [["I", "D"], "the same individual as in another window, or not"],
  [["E"], "click what belongs to it (⇧ or right button: what does not), or draw a box"],
  [["A"], "a new object, by clicks or a box"], [["F"], "follow the clicks"], [["B"], "from this frame on, or in the whole window"], [["Enter"], "write what was seen"],
  [["Z"], "take the last correction back"], [["O"], "masks on and off"], [["Esc"], "leave, choose nothing"], [["⇧ Enter"], "apply: build the crops anew"],
]);
$("#author").value = kept.get("author", "");
$("#author").addEventListener("change", (event) => kept.set("author", event.target.value.trim()));
$("#author").addEventListener("keydown", (event) => { if (["Enter", "Escape"].includes(event.key)) event.target.blur(); });
$("#undo").addEventListener("click", () => undo());
$("#apply").addEventListener("click", () => building.start());

try {
  await list.load(false);
  const [window, frame] = location.hash.slice(1).split("/");
  const first = window || list.windows[0]?.window;
  if (first && list.total) await open(first, Number(frame) || 0);
  else $("#why").textContent = list.missing.length ? "Nothing can be shown: put the source videos back where they were, or mount their drive, and reload." : "This dataset has no windows.";
  building.look();
} catch (error) {
  $("#why").textContent = error.message;
  complain(error);
}
