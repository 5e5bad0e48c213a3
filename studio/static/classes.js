// The dialog in which classes and their keys are chosen.
import { $, ask, el } from "/static/common.js";

/** Wire up the dialog; returns a function that opens it with the classes there are. kept(answer): the new ones. */
export function editor(kept) {
  const dialog = $("#editor"), rows = $("#rows"), wrong = $("#wrong");
  let keys = "";
  const row = ({ name = "", key = null } = {}) => {
    const made = el("div", { class: "one-class" },
      el("input", { value: name, maxlength: 200, "aria-label": "Class", autocomplete: "off" }),
      el("select", { "aria-label": "Key" }, el("option", { value: "", text: "no key" }),
        [...keys].map((each) => el("option", { value: each, text: each.toUpperCase(), selected: each === key }))),
      el("button", { type: "button", class: "plain", "aria-label": `Remove ${name}`, text: "✕", onclick: () => made.remove() }));
    return made;
  };
  const free = () => {
    const used = [...rows.querySelectorAll("select")].map((each) => each.value);
    return [...keys].find((key) => !used.includes(key)) ?? null;
  };
  const add = () => {
    const made = row({ key: free() });
    rows.append(made);
    $("input", made).focus();
  };
  $("#more").addEventListener("click", add);
  $("#cancel").addEventListener("click", () => dialog.close());
  $("form", dialog).addEventListener("submit", async (event) => {
    event.preventDefault();
    const classes = [...rows.children].map((each) => ({ name: $("input", each).value.trim(), key: $("select", each).value || null }));
    try {
      kept(await ask("PUT", "/dataset/classes", { classes: classes.filter((each) => each.name) }));
      dialog.close();
    } catch (error) {
      wrong.textContent = error.message;
    }
  });
  return (there) => {
    keys = there.keys;
    wrong.textContent = "";
    rows.replaceChildren(...there.classes.map(row));
    dialog.showModal();
    if (!there.classes.length) add();
  };
}
