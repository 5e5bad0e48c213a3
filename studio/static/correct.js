// Correct: open a window, put its tracks right, apply. What is done is written at once; Z takes it back.
import { $, ask, bar, clock, complain, count, el, help, kept, keys, toast } from "/static/common.js";
import { Applying } from "/static/correct_apply.js";
import { Masks, css } from "/static/correct_masks.js";
import { Stage } from "/static/correct_stage.js";

const PAGE = 200;
const page = { windows: [], total: 0, info: null, masks: null, object: null, mode: null, clicks: null, held: null, busy: false, asked: 0 };
const stage = new Stage({ frame: remember, click: clicked, drag: boxed, lost: () => {} });
const building = new Applying(async () => { await list(false); if (page.info) await reload(); });

const TOOLS = [
  ["Delete", "Delete", "remove", () => write("remove", {})],
  ["Merge into…", "M", "merge", () => choose("merge")],
  ["Swap with…", "S", "swap", () => choose("swap")],
  ["Split here", "C", "split", () => write("split", {})],
  ["Same as…", "I", "same", () => same("same")],
  ["Click", "E", "refine", () => aim("refine")],
  ["New object", "A", "add", () => aim("add")],
  ["Follow", "F", "follow", () => preview(true)],
  ["Write", "Enter", "write", writeClicks],
];

// -- the list --------------------------------------------------------------------------------------------------------

async function list(more) {
  const video = $("#video").value;
  const query = new URLSearchParams({ order: $("#order").value, offset: more ? page.windows.length : 0, limit: PAGE });
  if (video) query.set("video", video);
  const found = await ask("GET", `/dataset/windows?${query}`);
  page.windows = more ? [...page.windows, ...found.windows] : found.windows;
  page.total = found.total;
  if ($("#video").options.length !== found.videos.length + 1) {
    $("#video").replaceChildren(el("option", { value: "", text: "All videos" }), ...found.videos.map((name) => el("option", { value: name, text: name })));
    $("#video").value = video;
  }
  $("#total").textContent = `${count(found.total)}${found.missing.length ? `, ${found.missing.length} videos not at hand` : ""}`;
  $("#total").title = found.missing.join("\n");
  showList();
}

function showList() {
  $("#list").replaceChildren(...page.windows.map((each) => el("li", {}, el("button", {
    "aria-current": each.window === page.info?.window ? "true" : null, onclick: () => open(each.window), "data-window": each.window,
  }, el("span", { class: "ellipsis", text: each.video, title: each.video }),
  el("span", { class: "small soft", text: `${clock(each.start_s)}–${clock(each.stop_s)} · ${each.crops} crops${each.corrections ? ` · ${each.corrections} edits` : ""}` }),
  each.why.map((why) => el("span", { class: `small ellipsis ${why.startsWith("failed") ? "failed" : "doubt"}`, text: why, title: why }))))));
  $("#more").hidden = page.windows.length >= page.total;
}

function step(by) {
  const at = page.windows.findIndex((each) => each.window === page.info?.window);
  const next = page.windows[Math.min(Math.max(0, at + by), page.windows.length - 1)];
  if (next && next.window !== page.info?.window) open(next.window);
}

// -- a window ---------------------------------------------------------------------------------------------------------

async function open(window, frame = 0) {
  leave();
  page.object = null;
  await load(window, frame);
  showList();
  $("#list [aria-current]")?.scrollIntoView({ block: "nearest" });
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
const keyOf = (object) => `${object.prompt} ${object.object}`;
const chosen = () => page.masks?.objects.find((object) => keyOf(object) === page.object) ?? null;

function show() {
  const { info } = page, object = chosen();
  $("#title").textContent = info.video;
  $("#title").title = info.video;
  $("#why").textContent = [info.error ?? info.why.join(" · "), info.waiting ? "clicks are followed when you apply" : ""].filter(Boolean).join(" · ");
  Object.assign(stage, { selected: object?.object ?? null, prompt: object?.prompt ?? null });
  stage.draw();
  $("#objects").replaceChildren(...page.masks.objects.map((each, n) => el("li", {}, el("button", {
    "aria-pressed": String(keyOf(each) === page.object), onclick: () => take(each), "data-object": each.object,
  }, el("kbd", { text: n < 9 ? String(n + 1) : "·" }), swatch(each), el("span", { class: "name ellipsis", text: keyOf(each) }), strip(each)))));
  if (!page.masks.objects.length) $("#objects").append(el("li", { class: "soft small", text: "Nothing was found here." }));
  $("#entries").replaceChildren(...info.corrections.map(({ id, entry }) => el("li", { class: "small" },
    el("span", { class: "ellipsis", text: said(entry), title: `${said(entry)}\n${entry.author ?? "by hand"}, ${entry.time ?? ""}` }),
    el("button", { class: "plain", "aria-label": `Undo ${said(entry)}`, text: "✕", onclick: () => undo(id) }))));
  showLinks(object);
  $("#undo").disabled = !info.corrections.length;
  $("#stale").hidden = !info.unapplied;
  showCrops(object);
  showTools();
}

function showTools() {
  const { info, mode } = page, object = chosen();
  const can = {
    remove: object, merge: object && page.masks.objects.length > 1, swap: object && page.masks.objects.length > 1, split: object, same: object,
    refine: object && info?.clicks.show, add: info?.clicks.show, follow: page.clicks && hasClicks(), write: page.clicks && hasClicks() && info?.clicks.write,
  };
  $("#tools").replaceChildren(...TOOLS.map(([name, key, kind, run]) => el("button", {
    disabled: !can[kind], "aria-pressed": mode === kind ? "true" : null, onclick: run, "data-do": kind, text: `${name} `,
  }, el("kbd", { text: key }))));
  const words = { merge: "Merge into which object? Click it or press its number.", swap: "Swap with which object from here on?" };
  const aiming = "Click: in it. Right or shift click: not in it. Drag: a box.";
  $("#mode").textContent = words[mode] ?? (mode ? `${aiming}${info?.clicks.write ? "" : " Only a preview."}` : "");
  if (!mode && page.held) $("#mode").textContent = `${page.held.name} of ${clock(page.held.start)}: in another window, I says it is the same as the chosen object, D that it is not.`;
  $("#mode").hidden = !mode && !page.held;
  $("#canvas").classList.toggle("aim", mode === "refine" || mode === "add");
}

function showLinks(object) {
  const there = new Set(page.masks.objects.map(keyOf));
  const shown = page.info.links.filter((link) => there.has(`${link.prompt} ${link.object}`) && (!object || keyOf(object) === `${link.prompt} ${link.object}`));
  $("#linked").hidden = !shown.length;
  $("#links").replaceChildren(...shown.map((link) => {
    const say = (kind) => word(kind, link.object, link.prompt, link.other, link.window);
    const told = link.by === "person" ? "said" : `${link.score.toFixed(2)}${link.state === "open" ? "?" : ""}`;
    return el("li", { class: link.state }, el("button", { class: "plain", title: "Go there", onclick: () => open(link.window),
      text: `${link.object} – ${link.other} at ${clock(link.start_s)}, ${told}` }),
    link.prompt === link.other_prompt && [el("button", { text: "Same", onclick: () => say("same") }), el("button", { text: "Two", title: "Two individuals", onclick: () => say("different") })]);
  }));
}

function showCrops(object) {
  const shown = page.info.crops.filter((crop) => !object || (crop.object_id === object.object && (page.info.prompts.length === 1 || crop.prompt === object.prompt)));
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
function strip(object) {
  const made = el("canvas", { class: "strip", width: Math.max(1, page.info.frames.length), height: 1, role: "img", "aria-label": `seen in ${object.at.size} of ${page.info.frames.length} frames` });
  const context = made.getContext("2d");
  context.fillStyle = css(object.object);
  for (const n of object.at.keys()) context.fillRect(n, 0, 1, 1);
  return made;
}

function said(entry) {
  const there = `${entry.with} at ${entry.at}`;
  const other = { merge: ` into ${entry.into}`, swap: ` with ${entry.with}`, split: ` as ${entry.as}`, same: ` as ${there}`, different: ` from ${there}` }[entry.do] ?? "";
  return `${{ remove: "delete", refine: "click" }[entry.do] ?? entry.do} ${entry.object}${other} at ${entry.frame}`;
}

// -- corrections ------------------------------------------------------------------------------------------------------

function take(object) {
  if (page.mode === "merge" || page.mode === "swap") {
    const [kind, mine] = [page.mode, chosen()];
    if (!object || keyOf(object) === page.object) return;
    if (object.prompt !== mine.prompt) { toast(`${keyOf(object)} was found by another prompt: only objects of one prompt can be put together`, true); return; }
    page.mode = null;
    write(kind, { other: object.object });
    return;
  }
  if (page.mode) leave();
  page.object = object ? keyOf(object) : null;
  show();
}

function choose(kind) {
  if (!chosen() || page.masks.objects.length < 2) return;
  leave();
  page.mode = kind;
  showTools();
}

async function write(kind, more, frame = stage.n) {
  const object = chosen(), author = $("#author").value.trim();
  if (page.busy || (!object && kind !== "add")) return false;
  if (!author) {
    $("#author").focus();
    toast("First your name, please: every correction says who made it.", true);
    return false;
  }
  page.busy = true;
  try {
    const prompt = page.info.prompts.length > 1 ? object?.prompt ?? page.info.prompts[0] : undefined;
    const body = { do: kind, frame: page.info.frames[frame], object: kind === "add" ? undefined : object.object, prompt, author, ...more };
    const { entry } = await ask("POST", `/dataset/windows/${page.info.window}/corrections`, body);
    const now = { merge: entry.into, split: entry.as, add: entry.object }[kind];
    if (kind === "remove") page.object = null;
    else if (now !== undefined) page.object = `${object?.prompt ?? page.info.prompts[0]} ${now}`;
    leave();
    await reload();
    counted(1);
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
    page.held = { window: page.info.window, object: object.object, prompt: object.prompt, name: keyOf(object), start: page.info.times_s[0] };
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
    counted(-1);
    toast("taken back");
  } catch (error) {
    complain(error);
  } finally {
    page.busy = false;
  }
}

function counted(by) {
  const line = page.windows.find((each) => each.window === page.info.window);
  if (line) line.corrections += by;
  showList();
}

// -- clicks -----------------------------------------------------------------------------------------------------------

const hasClicks = () => page.clicks.points.length > 0 || page.clicks.box !== null;

function aim(kind) {
  if (!page.info?.clicks.show || (kind === "refine" && !chosen())) return;
  leave();
  if (kind === "add") page.object = null;
  page.mode = kind;
  stage.stop();
  page.clicks = { frame: stage.n, points: [], labels: [], box: null, masks: null };
  stage.overlay = page.clicks;
  if (!page.info.clicks.write) toast(`Only a preview: ${page.info.clicks.why}`, false, 6);
  show();
}

function clicked(place, minus) {
  if (page.clicks) {
    if (page.clicks.frame !== stage.n) Object.assign(page.clicks, { frame: stage.n, points: [], labels: [], box: null, masks: null });
    page.clicks.points.push(place.map((value) => Math.round(value)));
    page.clicks.labels.push(minus ? 0 : 1);
    preview(false);
  } else {
    take(page.masks.hit(...place, stage.n));
  }
}

function boxed(box) {
  if (!page.clicks) return;
  if (page.clicks.frame !== stage.n) Object.assign(page.clicks, { points: [], labels: [], masks: null });
  Object.assign(page.clicks, { frame: stage.n, box: box.map((value) => Math.round(value)) });
  preview(false);
}

async function preview(follow) {
  const { clicks, info } = page, object = chosen();
  if (!clicks || !hasClicks()) return;
  stage.draw();
  showTools();
  const body = { frame: info.frames[clicks.frame], points: clicks.points, labels: clicks.labels, box: clicks.box, follow };
  if (object) body.object = object.object;
  if (info.prompts.length > 1) body.prompt = object?.prompt ?? info.prompts[0];
  const mine = clicks.asked = (clicks.asked ?? 0) + 1;
  try {
    const seen = await ask("POST", `/dataset/windows/${info.window}/preview`, body);
    if (page.clicks !== clicks || clicks.asked !== mine) return;
    clicks.masks = new Masks([{ prompt: "", object: 0, masks: seen.masks }]);
    if (follow) toast(`${info.clicks.tracker} sees it in ${seen.masks.length} of ${seen.masks.length + seen.empty.length} frames from here`);
  } catch (error) {
    complain(error);
  }
  stage.draw();
}

function writeClicks() {
  if (!page.clicks || !hasClicks()) return;
  if (!page.info.clicks.write) { toast(page.info.clicks.why, true); return; }
  const { points, labels, box, frame } = page.clicks;
  write(page.mode, { points, labels, box }, frame);
}

function leave() {
  page.mode = page.clicks = stage.overlay = null;
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
  n: () => step(1), p: () => step(-1), PageDown: () => step(1), PageUp: () => step(-1),
  Delete: () => write("remove", {}), x: () => write("remove", {}), m: () => choose("merge"), s: () => choose("swap"), c: () => write("split", {}),
  e: () => aim("refine"), a: () => aim("add"), f: () => preview(true), Enter: writeClicks, z: () => undo(), "ctrl+z": () => undo(),
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
  [["C"], "cut: from this frame on it is another object"], [["E"], "click what belongs to it (⇧ or right button: what does not), or draw a box"],
  [["A"], "a new object, by clicks or a box"], [["F"], "preview the clicks in the frames after"], [["Enter"], "write the clicks"],
  [["Z"], "take the last correction back"], [["O"], "masks on and off"], [["Esc"], "leave, choose nothing"], [["⇧ Enter"], "apply: build the crops anew"],
]);
$("#author").value = kept.get("author", "");
$("#author").addEventListener("change", (event) => kept.set("author", event.target.value.trim()));
$("#author").addEventListener("keydown", (event) => { if (["Enter", "Escape"].includes(event.key)) event.target.blur(); });
$("#undo").addEventListener("click", () => undo());
$("#more").addEventListener("click", () => list(true).catch(complain));
$("#apply").addEventListener("click", () => building.start());
for (const choice of ["#order", "#video"]) $(choice).addEventListener("change", (event) => { event.target.blur(); list(false).catch(complain); });

try {
  await list(false);
  const [window, frame] = location.hash.slice(1).split("/");
  const first = window || page.windows[0]?.window;
  if (first) await open(first, Number(frame) || 0);
  building.look();
} catch (error) {
  $("#why").textContent = error.message;
  complain(error);
}
