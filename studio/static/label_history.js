// What can be undone: what was there before each thing that was said. It outlives a reload of the page.

const MOST = 500, KEPT = 200, LARGEST = 50;

export class History {
  constructor(dataset) {
    this.key = `studio-history-${dataset}`;
    try { this.entries = JSON.parse(sessionStorage.getItem(this.key)) ?? []; } catch { this.entries = []; }
  }

  /** entry: {ids, before}; before is null until the studio has said it. */
  push(entry) {
    this.entries.push(entry);
    if (this.entries.length > MOST) this.entries.shift();
    this.#keep();
  }

  pop() {
    const entry = this.entries.pop();
    this.#keep();
    return entry;
  }

  #keep() {
    const ready = this.entries.filter((entry) => entry.before && entry.before.length <= LARGEST).slice(-KEPT);
    try { sessionStorage.setItem(this.key, JSON.stringify(ready)); } catch { /* it is only kept in the page */ }
  }
}
