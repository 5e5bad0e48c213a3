// The in and out point of a span, each in some crop of one video.
import { clock } from "/static/common.js";

export class Marks {
  constructor() { this.clear(); }

  clear() { this.in = this.out = null; }

  /** Set "in" or "out" to a second of a crop's video. */
  set(which, sample, second) { this[which] = { video: sample.video, at: second }; }

  get any() { return Boolean(this.in || this.out); }

  /** [start, end] in seconds if both lie in the video of a crop; else null. */
  span(sample) {
    if (!this.in || !this.out || this.in.video !== sample.video || this.out.video !== sample.video) return null;
    const span = [this.in.at, this.out.at].sort((a, b) => a - b);
    return span[0] < span[1] ? span : null;
  }

  /** Which part of a crop lies between the marks, as shares of its length; one that is not set lies at its end. */
  within(sample) {
    if (!sample || !this.any) return [0, 0];
    const lasts = Math.max(1e-6, sample.end_s - sample.start_s);
    const part = (mark, otherwise) => (mark?.video === sample.video ? Math.min(1, Math.max(0, (mark.at - sample.start_s) / lasts)) : otherwise);
    return [part(this.in, 0), part(this.out, 1)].sort((a, b) => a - b);
  }

  get text() {
    const of = (mark) => (mark ? clock(mark.at) : "–");
    return this.any ? `${of(this.in)} to ${of(this.out)}` : "";
  }
}
