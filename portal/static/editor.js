// Turns every textarea[data-editor] into a code editor; the textarea stays the form's field, always in step.
// data-editor: id of the control with the language; data-mode: a mode by name; data-error-line: a line to mark.
import { mount } from "./vendor/codemirror/codemirror.js";

const MODE_OF_LANGUAGE = { command: "shell" };
const nonce = document.querySelector('meta[name="csp-nonce"]')?.content;

function modeOf(textarea) {
  const control = languageControl(textarea);
  const option = control?.selectedOptions?.[0];
  const word = (option?.dataset.mode ?? control?.value ?? textarea.dataset.mode ?? "").toLowerCase();
  return MODE_OF_LANGUAGE[word] ?? word;
}

const languageControl = ({ dataset }) => dataset.editor ? document.getElementById(dataset.editor) : null;

function nameOf(textarea) {
  const label = textarea.labels?.[0];
  if (!label) return { "aria-label": textarea.getAttribute("aria-label") ?? "Code" };
  label.id ||= `label-of-${textarea.id || textarea.name}`;
  return { "aria-labelledby": label.id };
}

function copyInto(textarea, text) {
  textarea.value = text;
  textarea.dispatchEvent(new Event("input", { bubbles: true }));
}

function submit(form) {
  const buttons = [...(form?.elements ?? [])].filter((each) => each.type === "submit" && !each.disabled);
  form?.requestSubmit(buttons.find((each) => each.matches("[data-primary], .primary")) ?? buttons[0]);
}

function follow(textarea, editor) {
  const takeOver = () => textarea.value === editor.text() || editor.setText(textarea.value);
  textarea.addEventListener("change", takeOver);
  textarea.form?.addEventListener("reset", () => setTimeout(takeOver));
  const followLanguage = () => editor.setMode(modeOf(textarea));
  languageControl(textarea)?.addEventListener("change", followLanguage);
  // Whoever comes back to the page gets what was typed into the form's own fields, after this script has run.
  window.addEventListener("pageshow", () => { takeOver(); followLanguage(); });
  for (const label of textarea.labels ?? []) label.addEventListener("click", () => editor.focus());
}

function replace(textarea) {
  const editor = mount(textarea, {
    nonce,
    mode: modeOf(textarea),
    name: nameOf(textarea),
    describedBy: textarea.getAttribute("aria-describedby"),
    required: textarea.required,
    errorLine: Number(textarea.dataset.errorLine),
    change: (text) => copyInto(textarea, text),
    save: () => submit(textarea.form),
  });
  follow(textarea, editor);
  textarea.dataset.editing = "";
  // A hidden required field blocks its form without a word; the server says what is missing.
  textarea.required = false;
  textarea.style.display = "none";
}

function replaceAll() {
  document.querySelectorAll("textarea[data-editor]:not([data-editing])").forEach(replace);
}

replaceAll();
document.addEventListener("htmx:afterSettle", replaceAll);
