// The list of windows: what to look at first, or by time; one is open.
import { $, ask, clock, complain, count, el } from "/static/common.js";

const PAGE = 200;

export class List {
  /** open: called with the window that is pressed. */
  constructor(open) {
    Object.assign(this, { open, windows: [], missing: [], total: 0, current: null });
    $("#more").addEventListener("click", () => this.load(true).catch(complain));
    for (const choice of ["#order", "#video"]) $(choice).addEventListener("change", (event) => { event.target.blur(); this.load(false).catch(complain); });
  }

  async load(more) {
    const video = $("#video").value;
    const query = new URLSearchParams({ order: $("#order").value, offset: more ? this.windows.length : 0, limit: PAGE });
    if (video) query.set("video", video);
    const found = await ask("GET", `/dataset/windows?${query}`);
    this.windows = more ? [...this.windows, ...found.windows] : found.windows;
    this.total = found.total;
    if ($("#video").options.length !== found.videos.length + 1) {
      $("#video").replaceChildren(el("option", { value: "", text: "All videos" }), ...found.videos.map((name) => el("option", { value: name, text: name })));
      $("#video").value = video;
    }
    $("#total").textContent = count(found.total);
    this.missing = found.missing;
    this.show();
  }

  show() {
    $("#list").replaceChildren(...this.windows.map((each) => el("li", {}, el("button", {
      "aria-current": each.window === this.current ? "true" : null, onclick: () => this.open(each.window), "data-window": each.window,
    }, el("span", { class: "ellipsis", text: each.video, title: each.video }),
    el("span", { class: "small soft", text: `${clock(each.start_s)}–${clock(each.stop_s)} · ${each.crops} crops${each.corrections ? ` · ${each.corrections} edits` : ""}` }),
    each.why.map((why) => el("span", { class: `small ellipsis ${why.startsWith("failed") ? "failed" : "doubt"}`, text: why, title: why }))))));
    $("#missing").hidden = !this.missing.length;
    $("#missing-title").textContent = `${count(this.missing.length)} video${this.missing.length === 1 ? "" : "s"} not at hand`;
    $("#gone").replaceChildren(...this.missing.map((each) => el("li", { class: "small" }, el("b", { text: each.video }), el("div", { class: "soft", text: each.why }))));
    $("#missing").open = !this.windows.length;
    $("#more").hidden = this.windows.length >= this.total;
  }

  /** Another window is open. */
  at(window) {
    this.current = window;
    this.show();
    $("#list [aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /** The open window has so many corrections more. */
  counted(by) {
    const line = this.windows.find((each) => each.window === this.current);
    if (line) line.corrections += by;
    this.show();
  }

  step(by) {
    const at = this.windows.findIndex((each) => each.window === this.current);
    const next = this.windows[Math.min(Math.max(0, at + by), this.windows.length - 1)];
    if (next && next.window !== this.current) this.open(next.window);
  }
}
