// What is said of crops: sent at once, shown at once, taken in when the studio answers, and taken back.
import { ask, count, toast } from "/static/common.js";
import { History } from "/static/label_history.js";

const AT_ONCE = 1000;  // crops of one request that takes back

const wordOf = ({ sample_id, label, unsure, comment }) => ({ sample_id, label, unsure, comment });

export class Words {
  #turn = 0;  // of what is said, counted up
  #latest = new Map();  // by sample id, the turn of what was said last

  /** on: author(), the name; counts(words, by), which classes gained or lost; labelled(how many); changed(). */
  constructor(dataset, trail, outbox, on) {
    Object.assign(this, { history: new History(dataset), trail, outbox, on });
  }

  /** Say a label, "not sure" or nothing of some crops. */
  say(samples, { label, unsure }) {
    const before = samples.map(wordOf);
    this.#send(before, before.map((word) => ({ ...word, label, unsure })));
  }

  comment(sample, text) {
    const before = wordOf(sample);
    this.#send([before], [{ ...before, comment: text }]);
  }

  #send(before, words) {
    const ids = before.map((word) => word.sample_id), own = this.#newer(ids);
    this.history.push({ ids, before });
    this.outbox.send("/dataset/labels", { words, author: this.on.author() }, (answer) => this.#counted(answer, own));
    this.#everywhere(words);
  }

  /** Say it of an individual, or of everything in view. span: [start, end] in seconds, or null. */
  many(what, sample, word, span) {
    const entry = { ids: [sample.sample_id], before: null }, own = this.#newer(entry.ids);
    this.history.push(entry);
    const body = { of: what, sample_id: sample.sample_id, ...word, author: this.on.author(), ...(span && { start_s: span[0], end_s: span[1] }) };
    this.outbox.send("/dataset/labels/many", body, (answer) => {
      entry.before = answer ? answer.before : [];
      this.#counted(answer, own);
      if (answer) toast(answer.now.length ? `${count(answer.now.length)} crops: ${word.label ?? "not sure"}` : "Kept. No crop lies in this span with half of its time.");
      this.on.changed();
    });
    this.#everywhere([{ ...wordOf(sample), ...word }]);
  }

  /** Take back what was said last, and bring its crop into view; whether there was anything. Throws what asking throws. */
  async undo() {
    const entry = this.history.pop();
    if (!entry) return false;
    this.#takeBack(entry, this.#newer(entry.before?.map((word) => word.sample_id) ?? entry.ids));
    if (entry.before) this.#everywhere(entry.before);
    if (!this.trail.find(entry.ids[0])) {
      const sample = await ask("GET", `/dataset/samples/${encodeURIComponent(entry.ids[0])}`);
      this.trail.insert({ ...sample, ...entry.before?.find((word) => word.sample_id === sample.sample_id) });
    }
    return true;
  }

  /** Say again what was there before, so many crops at a time. What the studio has not answered yet is waited for; then
   *  not of crops of which something newer has been said. */
  #takeBack(entry, own) {
    const author = this.on.author();
    const done = (answer) => { this.#counted(answer, own); this.on.changed(); };
    const parts = (words) => Array.from({ length: Math.ceil(words.length / AT_ONCE) }, (_, n) => ({ words: words.slice(AT_ONCE * n, AT_ONCE * (n + 1)), author }));
    if (entry.before) { parts(entry.before).forEach((part) => this.outbox.send("/dataset/labels", part, done)); return; }
    this.outbox.send("/dataset/labels", () => {
      const [first, ...more] = parts((entry.before ?? []).filter((word) => this.#standing(word, own)));
      more.forEach((part) => this.outbox.send("/dataset/labels", part, done));
      return first ?? null;
    }, done);
  }

  #everywhere(words) {
    const by = new Map(words.map((word) => [word.sample_id, word]));
    for (const sample of this.trail.all) {
      const word = by.get(sample.sample_id);
      if (word) Object.assign(sample, { label: word.label, unsure: word.unsure, comment: word.comment });
    }
  }

  /** Note that something newer is said of these crops; returns its turn, which its answer is compared with. */
  #newer(names) {
    this.#turn += 1;
    for (const name of names) this.#latest.set(name, this.#turn);
    return this.#turn;
  }

  #standing(word, own) { return (this.#latest.get(word.sample_id) ?? 0) <= own; }

  /** Take in what the studio answers, but for crops of which something newer has been said since. */
  #counted(answer, own) {
    if (!answer) return;
    this.on.counts(answer.before, -1);
    this.on.counts(answer.now, 1);
    this.#everywhere(answer.now.filter((word) => this.#standing(word, own)));
    this.on.labelled(answer.labelled);
  }
}
