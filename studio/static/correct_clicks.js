// Clicks on an object: what they mean on their frame, where they lead, and writing exactly what was seen.
import { $, ask, complain, kept, toast } from "/static/common.js";
import { Masks } from "/static/correct_masks.js";

const REACHES = ["onward", "window"];

export class Clicks {
  /** on: changed(), after every change; write(kind, more, frame), which writes a correction. */
  constructor(stage, on) {
    Object.assign(this, { stage, on, now: null, info: null, object: null, waiting: null });
    this.reach = REACHES.find((each) => each === kept.get("reach")) ?? REACHES[0];
    for (const button of document.querySelectorAll("#reach button")) {
      button.addEventListener("click", () => { button.blur(); this.choose(button.dataset.reach); });
    }
    $("#by-build input").checked = kept.get("by-build", true);
    $("#by-build input").addEventListener("change", (event) => {
      kept.set("by-build", event.target.checked);
      event.target.blur();
      this.on.changed();
    });
  }

  /** Whether something was clicked. */
  get any() { return this.now !== null && (this.now.points.length > 0 || this.now.box !== null); }

  /** Whether the clicks themselves are written, for the dataset's tracker to follow. */
  get byBuild() { return Boolean(this.info?.clicks.build) && ($("#by-build input").checked || !this.info.clicks.show); }

  /** Start to click. kind: refine or add. object: the chosen one, null for a new one. */
  begin(kind, info, object) {
    this.end();
    Object.assign(this, { info, object });
    this.start(kind);
  }

  start(kind) {
    const { stage } = this;
    this.now = { kind, frame: stage.n, points: [], labels: [], box: null, masks: null, name: null, seen: "", covers: () => false };
    stage.overlay = this.now;
  }

  end() {
    this.waiting?.abort();
    this.now = this.stage.overlay = null;
  }

  point(place, minus) {
    if (this.now.frame !== this.stage.n) this.start(this.now.kind);
    this.now.points.push(place.map((value) => Math.round(value)));
    this.now.labels.push(minus ? 0 : 1);
    this.show("frame");
  }

  box(box) {
    if (this.now.frame !== this.stage.n) this.start(this.now.kind);
    this.now.box = box.map((value) => Math.round(value));
    this.show("frame");
  }

  /** Which frames the clicks change. */
  choose(reach) {
    this.reach = reach;
    kept.set("reach", reach);
    if (this.now?.name) this.show("frame");
    this.on.changed();
  }

  other() { this.choose(REACHES[1 - REACHES.indexOf(this.reach)]); }

  follow() { if (this.any) this.show(this.reach); }

  /** Ask what the clicks make of the object, in place of what was asked before. */
  async show(reach) {
    const { now, info, object } = this;
    this.waiting?.abort();
    Object.assign(now, { name: null, seen: "" });
    if (!info.clicks.show) { this.on.changed(); return; }
    const mine = this.waiting = new AbortController();
    now.seen = reach === "frame" ? "" : `${info.clicks.tracker} follows the clicks …`;
    this.on.changed();
    const body = { frame: info.frames[now.frame], points: now.points, labels: now.labels, box: now.box, reach };
    if (object) body.object = object.object;
    if (info.prompts.length > 1) body.prompt = object?.prompt ?? info.prompts[0];
    try {
      const seen = await ask("POST", `/dataset/windows/${info.window}/preview`, body, { signal: mine.signal });
      const all = seen.masks.length + seen.empty.length;
      now.masks = new Masks([{ prompt: "", object: 0, masks: seen.masks }]);
      now.name = seen.name;
      now.covers = { frame: (n) => n === now.frame, onward: (n) => n >= now.frame, window: () => true }[reach];
      now.seen = reach === "frame" ? (seen.masks.length ? "" : "Nothing is seen here: click once more, or drag a box.")
        : seen.name ? `Seen in ${seen.masks.length} of ${all} frames. Look through them; Enter writes them.` : "It is seen in no frame.";
    } catch (error) {
      if (this.waiting === mine) now.seen = "";
      complain(error);
    }
    if (this.waiting === mine) this.waiting = null;
    this.on.changed();
  }

  /** Write what was seen; what was not followed yet is followed first, and shown. */
  write() {
    if (!this.any) return;
    const { kind, points, labels, box, frame, name } = this.now;
    if (this.byBuild) this.on.write(kind, { points, labels, box }, frame);
    else if (name) this.on.write(kind === "add" ? "draw" : "redraw", { masks: name }, frame);
    else if (this.waiting) toast("A moment: the clicks are being followed.");
    else this.follow();
  }

  /** What the page says while one clicks. */
  say() {
    $("#clicking").hidden = this.now === null;
    if (!this.now) return;
    for (const button of document.querySelectorAll("#reach button")) button.setAttribute("aria-pressed", String(button.dataset.reach === this.reach));
    $("#reach").hidden = this.byBuild;
    $("#by-build").hidden = !this.info.clicks.build || !this.info.clicks.show;
    $("#followed").textContent = this.now.seen || (this.byBuild ? "The next build follows the clicks." : "");
  }
}
