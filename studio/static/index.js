// The first page: what this studio serves, and the ways in.
import { $, ask, bar, complain, count, el } from "/static/common.js";

const DOORS = [
  ["/label", "Label", "Crops in a loop, one key per class. Every key press is on disk before the next."],
  ["/browse", "Browse", "The figures of the report, live: click a bar and see those crops."],
  ["/correct", "Correct", "Windows with masks and ids: merge, split, delete, click what is missing."],
];

bar("/");
try {
  const health = await ask("GET", "/health");
  if (health.dataset) {
    const facts = await ask("GET", "/dataset");
    $("#name").textContent = facts.name;
    $("#lead").textContent = `${count(facts.samples)} crops of ${count(facts.videos.length)} videos, ${count(facts.labelled)} labelled.`;
    document.title = `${facts.name} – studio`;
    $("#doors").append(...DOORS.map(([path, name, what]) =>
      el("a", { class: "panel door", href: path }, el("h2", { text: name }), el("p", { text: what }))));
  } else {
    $("#lead").textContent = `Single videos over HTTP, with ${health.tracker}. To label, browse and correct a dataset, start it with out=/path/to/dataset.`;
    $("#doors").append(el("a", { class: "panel door", href: "/openapi.json" }, el("h2", { text: "The API" }),
      el("p", { text: "Upload, click, propagate, refine, export: described as OpenAPI." })));
  }
} catch (error) {
  complain(error);
}
