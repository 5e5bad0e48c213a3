// What was said and is not yet on the studio's disk. One request at a time, in order, and again until it is answered.
import { ask, complain, kept } from "/static/common.js";

const KEY = "studio-outbox";
const AGAIN_MS = 1000;
const LATER = new Set([0, 401, 429, 500, 502, 503, 504, 507]);  // the fault may pass
const TRIES = 3;  // of what the studio itself fails at; it must not hold up all that comes after it

export class Outbox {
  /** onChange(waiting, error): how many wait, and the fault that stops them or null. */
  constructor(onChange) {
    this.onChange = onChange;
    this.jobs = kept.get(KEY, []).map((job) => ({ ...job, done: () => {} }));  // what an earlier page left unsent
    this.busy = false;
    if (this.jobs.length) this.#work();
    addEventListener("beforeunload", (event) => { if (this.jobs.length) event.preventDefault(); });
  }

  /** Send it after all that waits. body: an object, or a function that makes it when its turn comes. */
  send(path, body, done = () => {}) {
    this.jobs.push({ path, body, done });
    this.#keep();
    if (!this.busy) this.onChange(this.jobs.length, null);
    this.#work();
  }

  get waiting() { return this.jobs.length; }

  #keep() {
    kept.set(KEY, this.jobs.filter((job) => typeof job.body !== "function").map(({ path, body }) => ({ path, body })));
  }

  async #work() {
    if (this.busy) return;
    this.busy = true;
    while (this.jobs.length) {
      const job = this.jobs[0];
      if (typeof job.body === "function") job.body = job.body();
      try {
        if (job.body !== null) job.done(await ask("POST", job.path, job.body));
        this.jobs.shift();
        this.onChange(this.jobs.length, null);
      } catch (error) {
        job.failed = (job.failed ?? 0) + (error.status === 500 ? 1 : 0);
        if (LATER.has(error.status) && job.failed < TRIES) {
          this.onChange(this.jobs.length, error);
          await new Promise((on) => setTimeout(on, AGAIN_MS));
        } else {
          this.jobs.shift();
          job.done(null);
          complain(error);
          this.onChange(this.jobs.length, null);
        }
      }
      this.#keep();
    }
    this.busy = false;
  }
}
