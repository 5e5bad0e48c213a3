// Which crops are in view, which came before, and which come next: pages of crops, and a queue filled ahead of need.
import { ask } from "/static/common.js";

const FETCH = 60;
const LONGEST = 500;  // pages that one can go back

/** Whether anything counts of a crop. */
export const spoken = (sample) => sample.label !== null || sample.unsure;

export class Trail {
  #round = 0;

  constructor() { this.reset({}, "time"); }

  /** Begin anew with the crops that fit a filter, in an order. */
  reset(filter, order) {
    this.#round += 1;
    Object.assign(this, { filter, order, pages: [], here: -1, at: 0, queue: [], last: null, ended: false, fetching: null, total: null });
  }

  /** The crops in view. */
  get page() { return this.pages[this.here] ?? []; }

  /** The one that a key is about; null when there is none. */
  get current() { return this.page[this.at] ?? null; }

  /** All that the page knows of. */
  get all() { return [...this.pages.flat(), ...this.queue]; }

  /** What is in view, the page after it, and so many of the queue. */
  ahead(number) { return [...this.page, ...(this.pages[this.here + 1] ?? []), ...this.queue.slice(0, number)]; }

  /** Ask for more unless `enough` are queued; resolves when they are there. Throws what asking throws. */
  fill(enough) {
    if (this.fetching || this.ended || this.queue.length >= enough) return this.fetching ?? Promise.resolve();
    const mine = this.#round, { filter, order, last: after } = this;
    this.fetching = ask("POST", "/dataset/samples", { filter, order, after, limit: FETCH }).then((found) => {
      if (mine !== this.#round) return;
      const known = new Set(this.queue.map((each) => each.sample_id));
      this.queue.push(...found.samples.filter((each) => !known.has(each.sample_id)));
      this.last = found.samples.at(-1)?.sample_id ?? after;
      this.ended = found.samples.length < FETCH;
      this.total ??= found.total;
    }).finally(() => { if (mine === this.#round) this.fetching = null; });
    return this.fetching;
  }

  /** Go to the next page of `many` crops; false where the queue is empty, and nothing is in view then. */
  next(many) {
    this.here = Math.min(this.here, this.pages.length - 1);
    if (this.here + 1 >= this.pages.length) {
      const taken = this.queue.splice(0, many);
      if (!taken.length) {
        this.here = this.pages.length;
        return false;
      }
      this.pages.push(taken);
      if (this.pages.length > LONGEST) { this.pages.shift(); this.here -= 1; }
    }
    this.here += 1;
    this.at = Math.max(0, this.page.findIndex((sample) => !spoken(sample)));
    return true;
  }

  /** Go to the page before; false at the first. */
  back() {
    if (this.here <= 0) return false;
    this.here -= 1;
    this.at = 0;
    return true;
  }

  /** Put what is in view and after it back into the queue, to be dealt in pages of another size. */
  gather() {
    this.queue = [...this.pages.slice(Math.max(0, this.here)).flat(), ...this.queue];
    this.pages = this.pages.slice(0, Math.max(0, this.here));
    this.here = this.pages.length - 1;
  }

  /** Bring a crop into view if a page has it. */
  find(name) {
    const place = this.pages.findIndex((each) => each.some((sample) => sample.sample_id === name));
    if (place < 0) return false;
    this.here = place;
    this.at = this.page.findIndex((sample) => sample.sample_id === name);
    return true;
  }

  /** Bring a crop into view that no page has. */
  insert(sample) {
    this.here = Math.max(0, this.here);
    this.pages.splice(this.here, 0, [sample]);
    this.at = 0;
  }
}
