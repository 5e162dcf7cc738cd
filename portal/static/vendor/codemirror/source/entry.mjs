// The one door to CodeMirror 6: the portal's own editor.js knows only mount() and never a CodeMirror class.
import { Compartment, EditorState, Prec, RangeSet, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, GutterMarker, gutterLineClass, highlightActiveLineGutter,
  highlightSpecialChars, keymap, lineNumbers, showPanel,
} from "@codemirror/view";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  HighlightStyle, StreamLanguage, bracketMatching, indentOnInput, indentUnit, syntaxHighlighting,
} from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { autocompletion } from "@codemirror/autocomplete";
import { python } from "@codemirror/lang-python";
import { json } from "@codemirror/lang-json";
import { yaml } from "@codemirror/lang-yaml";
import { r } from "@codemirror/legacy-modes/mode/r";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { tags } from "@lezer/highlight";

const MODES = {
  python: () => [python(), indentUnit.of("    ")],
  r: () => [StreamLanguage.define(r), indentUnit.of("  ")],
  shell: () => [StreamLanguage.define(shell), indentUnit.of("  ")],
  json: () => [json(), indentUnit.of("  ")],
  yaml: () => [yaml(), indentUnit.of("  ")],
};

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--code-keyword, light-dark(#8250a8, #d2a8ff))" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string, light-dark(#1a6b3c, #8ddb8c))" },
  { tag: tags.comment, color: "var(--code-comment, light-dark(#5b6470, #9aa4b2))", fontStyle: "italic" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-number, light-dark(#9a3c00, #ffb27a))" },
  {
    tag: [
      tags.function(tags.variableName), tags.function(tags.definition(tags.variableName)),
      tags.function(tags.propertyName), tags.standard(tags.variableName), tags.className, tags.meta,
    ],
    color: "var(--code-function, light-dark(#0b57a4, #8cc4ff))",
  },
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "inherit" },
]);

const LINE = "1px solid var(--line, light-dark(#c9d0d8, #3a424d))";
const BACKGROUND = "var(--code-bg, light-dark(#fbfcfd, #15181d))";
const FOREGROUND = "var(--code-fg, light-dark(#1b2129, #e6eaf0))";
const MUTED = "var(--code-gutter, light-dark(#5b6470, #9aa4b2))";
const ACCENT = "var(--accent, light-dark(#0b57a4, #8cc4ff))";
const ERROR = "var(--code-error, light-dark(#b3261e, #ff9d95))";

const theme = EditorView.theme({
  "&": { background: BACKGROUND, color: FOREGROUND, border: LINE, borderRadius: "6px", minWidth: "0", maxWidth: "100%" },
  "&.cm-focused": { outline: `2px solid ${ACCENT}`, outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--font-mono, ui-monospace, monospace)", lineHeight: "1.5", maxHeight: "70vh" },
  ".cm-content": { caretColor: FOREGROUND },
  ".cm-gutters": { background: BACKGROUND, color: MUTED, borderRight: LINE },
  ".cm-activeLineGutter": { background: "transparent", color: FOREGROUND },
  ".cm-line.cm-errorLine": { boxShadow: `inset 3px 0 0 ${ERROR}`, textDecoration: `underline wavy ${ERROR}` },
  ".cm-gutterElement.cm-errorLine": { color: ERROR, fontWeight: "bold" },
  "&.cm-focused .cm-matchingBracket, .cm-matchingBracket": { background: "transparent", outline: `1px solid ${ACCENT}` },
  "&.cm-focused .cm-nonmatchingBracket, .cm-nonmatchingBracket": { background: "transparent", outline: `1px solid ${ERROR}` },
  ".cm-selectionMatch": { background: "transparent", outline: LINE },
  ".cm-searchMatch": { background: "transparent", outline: `1px solid ${ACCENT}` },
  ".cm-searchMatch.cm-searchMatch-selected": { background: "transparent", outline: `2px solid ${ACCENT}` },
  ".cm-panels": { background: BACKGROUND, color: FOREGROUND },
  ".cm-panels.cm-panels-top": { borderBottom: LINE },
  ".cm-panels.cm-panels-bottom": { borderTop: LINE },
  ".cm-textfield, .cm-button": { background: BACKGROUND, color: FOREGROUND, border: LINE, minHeight: "24px" },
  ".cm-panel.cm-search label": { display: "inline-flex", alignItems: "center", gap: "4px", minHeight: "24px" },
  ".cm-panel.cm-search [name=close]": { color: FOREGROUND, minWidth: "24px", minHeight: "24px" },
  ".cm-tooltip": { background: BACKGROUND, color: FOREGROUND, border: LINE },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: ACCENT, color: BACKGROUND },
  ".cm-way-out": { padding: "2px 8px", color: MUTED, fontSize: "0.8em" },
});

// Escape lets the next Tab leave however long that takes; any other key, or leaving, makes Tab indent again.
// The last, empty binding keeps CodeMirror's own two seconds from taking over.
const LONG = 24 * 60 * 60 * 1000;
const openTheWay = (view) => { view.setTabFocusMode(LONG); return false; };
const wayOut = (hintId) => [
  keymap.of([indentWithTab, { key: "Escape", run: openTheWay }]),
  Prec.low(keymap.of([{ key: "Escape", run: () => true }])),
  EditorView.domEventHandlers({ blur: (event, view) => { view.setTabFocusMode(false); } }),
  showPanel.of(() => ({ dom: hint(hintId) })),
];

function hint(id) {
  const dom = document.createElement("div");
  dom.className = "cm-way-out";
  dom.id = id;
  dom.textContent = "Tab indents. Press Esc, then Tab, to leave the editor.";
  return dom;
}

// Mod-Enter stays free for the page; the go-to-line dialogue is a form, which inside the page's form would submit both.
const LEFT_OUT = new Set(["Mod-Enter", "Mod-Alt-g"]);
const keys = [...searchKeymap, ...historyKeymap, ...defaultKeymap].filter(({ key }) => !LEFT_OUT.has(key));

class ErrorNumber extends GutterMarker {
  elementClass = "cm-errorLine";
}

function markLine(number) {
  const field = StateField.define({
    create: ({ doc }) => number >= 1 && number <= doc.lines
      ? Decoration.set([Decoration.line({ class: "cm-errorLine" }).range(doc.line(number).from)])
      : Decoration.none,
    update: (marks, change) => marks.map(change.changes),
    provide: (marks) => EditorView.decorations.from(marks),
  });
  return [field, gutterLineClass.compute([field], (state) => numbersOf(state.field(field)))];
}

function numbersOf(marks) {
  const at = marks.iter();
  return at.value ? RangeSet.of([new ErrorNumber().range(at.from)]) : RangeSet.empty;
}

// Left to itself Chromium types over a selection with inline styles, which the page's Content-Security-Policy reports.
// The document's selection is asked, not the editor's, which may lag behind it by a moment.
function typeOver(event, view) {
  const range = document.getSelection().getRangeAt(0);
  if (event.inputType !== "insertText" || !event.data || event.isComposing || range.collapsed) return false;
  const from = view.posAtDOM(range.startContainer, range.startOffset);
  const to = view.posAtDOM(range.endContainer, range.endOffset);
  const insert = view.state.toText(event.data);
  view.dispatch({
    changes: { from, to, insert }, selection: { anchor: from + insert.length }, userEvent: "input.type", scrollIntoView: true,
  });
  return true;
}

const writing = ({ save, describedBy }, hintId) => [
  keymap.of([{ key: "Mod-s", run: () => { save(); return true; } }]),
  wayOut(hintId),
  keymap.of(keys),
  EditorView.domEventHandlers({ beforeinput: typeOver }),
  history(),
  indentOnInput(),
  autocompletion({ activateOnTyping: false }),
  EditorView.contentAttributes.of({ "aria-describedby": [describedBy, hintId].filter(Boolean).join(" ") }),
];

const reading = ({ describedBy }) => [
  EditorState.readOnly.of(true),
  keymap.of(keys),
  describedBy ? EditorView.contentAttributes.of({ "aria-describedby": describedBy }) : [],
];

let count = 0;

/**
 * Put an editor after a textarea, showing its text.
 *
 * options: mode, nonce, name (attributes that name it), describedBy, required, errorLine, change(text), save().
 * Gives back: dom, focus(), text(), setText(text), setMode(mode).
 */
export function mount(textarea, options) {
  const mode = new Compartment();
  const modeOf = (name) => (MODES[name] ?? (() => []))();
  const height = `${(textarea.rows || 10) * 1.5}em`;
  const view = new EditorView({
    doc: textarea.value,
    extensions: [
      options.nonce ? EditorView.cspNonce.of(options.nonce) : [],
      theme,
      EditorView.theme({ ".cm-content, .cm-gutter": { minHeight: height } }),
      syntaxHighlighting(colours),
      textarea.readOnly || textarea.disabled ? reading(options) : writing(options, `code-way-out-${++count}`),
      EditorView.contentAttributes.of({ ...options.name, tabindex: "0" }),
      options.required ? EditorView.contentAttributes.of({ "aria-required": "true" }) : [],
      lineNumbers(),
      highlightActiveLineGutter(),
      highlightSpecialChars(),
      bracketMatching(),
      search({ top: true }),
      highlightSelectionMatches(),
      markLine(options.errorLine),
      EditorView.updateListener.of((update) => update.docChanged && options.change(update.state.doc.toString())),
      mode.of(modeOf(options.mode)),
    ],
  });
  textarea.after(view.dom);
  return {
    dom: view.dom,
    focus: () => view.focus(),
    text: () => view.state.doc.toString(),
    setText: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    setMode: (name) => view.dispatch({ effects: mode.reconfigure(modeOf(name)) }),
  };
}
