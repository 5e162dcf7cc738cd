// Rows of a form: adds, removes and moves them here instead of asking the server, which can do the same.
// [data-rows=name] holds [data-row-list], a <template> of an empty row and a button [data-row-add].

const language = document.getElementById("language");
const listOf = (rows) => rows.querySelector("[data-row-list]");
const prefixOf = (rows) => rows.dataset.rows;

function renumber(rows) {
  const prefix = new RegExp(`\\b${prefixOf(rows)}-\\d+`, "g");
  [...listOf(rows).children].forEach((row, index) => {
    for (const element of [row, ...row.querySelectorAll("*")]) {
      for (const attribute of element.attributes) {
        if (prefix.test(attribute.value)) attribute.value = attribute.value.replace(prefix, `${prefixOf(rows)}-${index}`);
        prefix.lastIndex = 0;
      }
    }
    for (const number of row.querySelectorAll("[data-row-number]")) number.textContent = index + 1;
  });
  showPlaces(rows);
}

// How the code has each parameter, by its language: data-place of the chosen one. Only commands have numbers and flags,
// and a parameter whose flag holds VALUE takes no number.
function showPlaces(rows) {
  const pattern = language?.selectedOptions[0]?.dataset.place ?? "";
  const numbered = pattern.includes("{number}");
  rows.classList.toggle("without-flags", !numbered);
  let number = 0;
  for (const place of rows.querySelectorAll("[data-row-list] [data-row-place]")) {
    const [flag, alias] = ["flag", "alias"].map((name) => place.closest("[data-row]").querySelector(`input[name$='-${name}']`));
    const valued = numbered && flag.value.includes("VALUE");
    place.textContent = valued ? "$VALUE" : placeOf(pattern, alias.value.trim() || "name", ++number);
  }
}

function placeOf(pattern, name, number) {
  const word = /^[A-Za-z][A-Za-z0-9_.]*$/.test(name) ? name : `\`${name}\``;
  const parts = { "{number}": number, "{name}": name, "{word}": word };
  return pattern.replace(/\{(number|name|word)\}/, (part) => parts[part]);
}

function changed(rows) {
  renumber(rows);
  rows.dispatchEvent(new Event("change", { bubbles: true }));
}

function add(rows) {
  const row = rows.querySelector("template").content.cloneNode(true).firstElementChild;
  countOn(rows, row);
  listOf(rows).append(row);
  changed(rows);
  row.querySelector("input, select").focus();
}

function countOn(rows, row) {
  const field = row.querySelector("[data-row-stays]");
  if (!field) return;
  const numbers = [...listOf(rows).querySelectorAll("[data-row-stays]")].map((each) => Number(each.value) || 0);
  field.value = Math.max(0, ...numbers) + 1;
}

function remove(rows, row) {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  changed(rows);
  (next?.querySelector("button[value$='-remove']") ?? rows.querySelector("[data-row-add]")).focus();
}

function move(rows, row, other, button) {
  if (!other) return;
  const [first, second] = [row, other].map((each) => each.querySelector("[data-row-stays]"));
  if (first) [first.value, second.value] = [second.value, first.value];
  row.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? other.after(row) : other.before(row);
  changed(rows);
  button.focus();
}

// What the chosen one of a list says of itself, beside the list.
function showHint(event) {
  if (!event.target.matches("[data-hints]")) return;
  const hint = event.target.closest("[data-row]").querySelector("[data-hint]:not(option)");
  hint.textContent = event.target.selectedOptions[0]?.dataset.hint ?? "";
}

function press(event) {
  const button = event.target.closest("button");
  const rows = button?.closest("[data-rows]");
  if (!rows) return;
  if (button.matches("[data-row-add]")) add(rows);
  if (button.name !== "rearrange") return;
  event.preventDefault();
  const row = button.closest("[data-row]");
  if (button.value.endsWith("-remove")) remove(rows, row);
  if (button.value.endsWith("-up")) move(rows, row, row.previousElementSibling, button);
  if (button.value.endsWith("-down")) move(rows, row, row.nextElementSibling, button);
}

function takeOver(rows) {
  for (const spare of rows.querySelectorAll("[data-row-list] > [data-spare]")) spare.remove();
  rows.querySelector("[data-row-add]").hidden = false;
  rows.addEventListener("input", () => showPlaces(rows));
  rows.addEventListener("change", showHint);
  language?.addEventListener("change", () => showPlaces(rows));
  window.addEventListener("pageshow", () => showPlaces(rows));
  renumber(rows);
}

document.querySelectorAll("[data-rows]").forEach(takeOver);
document.querySelectorAll("[data-without-script]").forEach((element) => element.remove());
document.addEventListener("click", press);
document.addEventListener("keydown", (event) => {
  const form = document.querySelector("form[data-saves]");
  if (!form || event.key !== "s" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector(".primary"));
});
