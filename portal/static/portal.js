// Comfort on top of pages that work without it: fragments keep what the reader opened, times take the reader's zone,
// dangerous buttons ask first, "/" goes to the search.

// A poll must not close what is open, nor throw away a preview or a time that was made here.
const keepers = Idiomorph.defaults.callbacks;
keepers.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element.matches("details")) && !(name === "aria-expanded" && element.matches("[hx-get]"));
keepers.beforeNodeMorphed = (old, fresh) => !(old.nodeType === Node.ELEMENT_NODE && madeHere(old, fresh));

function madeHere(old, fresh) {
  if (old.matches("time[data-local]")) return old.dateTime === fresh.dateTime;
  return old.matches("[data-loaded]");
}

const dayAndTime = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };

function localise(time) {
  const when = new Date(time.dateTime);
  const year = when.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const seconds = "seconds" in time.dataset ? { second: "2-digit" } : {};
  time.title = time.textContent;
  time.textContent = when.toLocaleString(undefined, { ...dayAndTime, ...year, ...seconds });
  time.dataset.local = "";
}

function localiseAll() {
  document.querySelectorAll("time[datetime]:not([data-local])").forEach(localise);
}

// A second press on Preview puts it away again. A refused preview says why in its own place.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, elt } = event.detail;
  if (!target.matches(".preview[data-loaded]")) return;
  event.preventDefault();
  target.replaceChildren();
  delete target.dataset.loaded;
  elt.setAttribute("aria-expanded", "false");
});
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.matches(".preview")) detail.shouldSwap = true;
});
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  if (!detail.target.matches(".preview")) return;
  detail.target.dataset.loaded = "";
  detail.requestConfig.elt.setAttribute("aria-expanded", "true");
});
document.addEventListener("htmx:afterSettle", () => {
  localiseAll();
  const titled = document.querySelector("[data-title]");
  if (titled) document.title = titled.dataset.title;
});

// What claims to be a picture and is none says so in words.
function nameBroken(image) {
  const note = document.createElement("p");
  note.textContent = "This file is not an image that can be shown.";
  const preview = image.closest(".preview");
  if (preview) preview.dataset.loaded = "";
  (image.closest("a") ?? image).replaceWith(note);
}

document.addEventListener("error", ({ target }) => target.matches?.("img.picture") && nameBroken(target), true);
for (const image of document.querySelectorAll("img.picture")) {
  if (image.complete && image.naturalWidth === 0 && image.currentSrc) nameBroken(image);
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", ({ target }) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach(closeMenu);
  if (event.key === "/" && !typing(event.target)) goToSearch(event);
});

function closeMenu(menu) {
  menu.open = false;
  menu.querySelector("summary").focus();
}

const typing = (element) => element.matches("input, select, textarea, [contenteditable='true'], .cm-content");

function goToSearch(event) {
  const search = document.querySelector("input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
}

document.addEventListener("dragenter", ({ target }) => target.matches?.("input[type=file]") && target.classList.add("over"));
for (const end of ["dragleave", "drop"]) {
  document.addEventListener(end, ({ target }) => target.matches?.("input[type=file]") && target.classList.remove("over"));
}

// A log follows what is written until its reader scrolls away from the end.
const left = new WeakSet();
const atEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 8;

document.addEventListener("scroll", ({ target }) => {
  if (!target.matches?.("[data-follow]")) return;
  if (atEnd(target)) left.delete(target);
  else {
    left.add(target);
    touch(target);
  }
}, true);

function followLogs() {
  for (const log of document.querySelectorAll("[data-follow]")) {
    if (!left.has(log)) log.scrollTop = log.scrollHeight;
  }
}

// A step's log is open while it runs and once it failed, unless its reader has touched it.
const handled = new WeakSet();

function touch(element) {
  const log = element.closest("details.log");
  if (log) handled.add(log);
}

document.addEventListener("click", ({ target }) => touch(target));

function openLogs() {
  for (const log of document.querySelectorAll("details.log")) {
    if (!handled.has(log)) log.open = "shown" in log.dataset;
  }
}

document.addEventListener("htmx:afterSettle", openLogs);
document.addEventListener("htmx:afterSettle", followLogs);
document.addEventListener("toggle", followLogs, true);

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named?.matches("details")) return;
  for (let each = named; each; each = each.parentElement.closest("details")) {
    each.open = true;
    handled.add(each);
  }
  named.scrollIntoView();
}

window.addEventListener("hashchange", openNamed);
openNamed();
localiseAll();
followLogs();
