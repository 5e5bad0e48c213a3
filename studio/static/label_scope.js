// What a class key labels: the crop in view, its individual, everything in view; and the span that this is about.
import { $, clock } from "/static/common.js";
import { Marks } from "/static/label_marks.js";

const NEXT = { crop: "individual", individual: "everything", everything: "crop" };

export class Scope {
  /** view(): {sample, second, chosen}: the crop in view or null, where its film is, how many crops are chosen. */
  constructor(view) {
    Object.assign(this, { view, what: "crop", marks: new Marks() });
    for (const button of $("#scope").children) button.onclick = () => this.set(button.dataset.scope);
    $("#in").onclick = () => this.point("in");
    $("#out").onclick = () => this.point("out");
    $("#clear").onclick = () => this.reset();
  }

  set(what) {
    this.what = what;
    for (const button of $("#scope").children) button.setAttribute("aria-pressed", String(button.dataset.scope === what));
    this.show();
  }

  turn() { this.set(NEXT[this.what]); }

  reset() {
    this.marks.clear();
    this.set("crop");
  }

  span(sample) { return this.marks.span(sample); }

  /** Set the in or out point where the film is. */
  point(which) {
    const { sample, second } = this.view();
    if (!sample) return;
    this.marks.set(which, sample, second());
    if (this.span(sample) && this.what === "crop") this.set(sample.individual_id ? "individual" : "everything");
    this.show();
  }

  show() {
    const { sample, chosen } = this.view(), span = sample && this.span(sample);
    $("#marks").textContent = this.marks.text;
    $("#clear").hidden = !this.marks.any;
    const when = span ? ` from ${clock(span[0])} to ${clock(span[1])}` : "";
    $("#scope-note").textContent = {
      crop: chosen ? `The ${chosen} chosen crops.` : "The crop in view. Shift and a class key: the whole individual.",
      individual: sample?.individual_id ? `Every crop of ${sample.individual_id.slice(0, 8)}${when || " in this video"}.` : "Nobody knows which individual this is.",
      everything: span ? `All that is seen${when}.` : "All that is seen in a span: set in and out.",
    }[this.what];
    const [a, b] = this.marks.within(sample), { style } = $("#span");
    style.left = `${100 * a}%`;
    style.width = `${100 * (b - a)}%`;
  }
}
