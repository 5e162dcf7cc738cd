// Rows of a form: adds, removes and moves them here instead of asking the server, which can do the same.
// [data-rows=name] holds [data-row-list], a <template> of an empty row and a button [data-row-add].

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

// Commands see a parameter as $P1, $P2 ...; one whose flag holds VALUE takes no number.
function showPlaces(rows) {
  let number = 0;
  for (const place of rows.querySelectorAll("[data-row-list] [data-row-place]")) {
    const flag = place.closest("[data-row]").querySelector("input[name$='-flag']");
    place.textContent = flag.value.includes("VALUE") ? "$VALUE" : `$P${++number}`;
  }
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
