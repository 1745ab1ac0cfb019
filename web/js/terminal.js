// The terminal: xterm.js with the page's colours, fitted to its pane. The Rust side (src/terminal/xterm.rs) drives it.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";

const FONT = '"JetBrains Mono Variable", ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
const COLOURS = [
  "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
  "brightBlack", "brightRed", "brightGreen", "brightYellow", "brightBlue", "brightMagenta", "brightCyan", "brightWhite",
];

// Custom properties keep `light-dark()` as text; only a real property of a real element is computed to a colour.
function computed(element, property) {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function theme(element) {
  const colours = {
    background: computed(element, "--terminal"),
    foreground: computed(element, "--terminal-ink"),
    cursor: computed(element, "--accent"),
    cursorAccent: computed(element, "--terminal"),
    selectionBackground: computed(element, "--terminal-selection"),
  };
  COLOURS.forEach((name, index) => {
    colours[name] = computed(element, `--ansi-${index}`);
  });
  return colours;
}

export class TerminalView {
  constructor(element, onData, onResize) {
    this.element = element;
    this.terminal = new Terminal({
      allowProposedApi: false,
      convertEol: false,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      cursorStyle: "bar",
      cursorWidth: 2,
      fontFamily: "monospace",
      fontSize: 13,
      lineHeight: 1.25,
      minimumContrastRatio: 4.5,
      scrollback: 5000,
      theme: theme(element),
    });
    this.fitting = new FitAddon();
    this.terminal.loadAddon(this.fitting);
    this.terminal.open(element);
    this.terminal.onData((text) => onData(text));
    this.terminal.onResize(({ cols, rows }) => onResize(cols, rows));
    this.copyOnSelect();
    this.keyboard();
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(element);
    this.fit();
    // xterm.js measures its font once: hand over ours when it has arrived.
    document.fonts.load(`13px ${FONT}`).finally(() => {
      this.terminal.options.fontFamily = FONT;
      this.fit();
    });
  }

  copyOnSelect() {
    const copy = () => {
      const text = this.terminal.getSelection();
      if (text) navigator.clipboard?.writeText(text).catch(() => {});
    };
    this.element.addEventListener("mouseup", () => setTimeout(copy, 0));
  }

  // Tab belongs to the shell. Shift+Escape hands the focus back to the page, so that nobody is trapped.
  keyboard() {
    this.terminal.attachCustomKeyEventHandler((event) => {
      if (event.type === "keydown" && event.key === "Escape" && event.shiftKey) {
        this.element.closest("[data-terminals]")?.querySelector("[role=tab][aria-selected=true]")?.focus();
        return false;
      }
      if (event.type === "keydown" && event.ctrlKey && event.shiftKey && event.code === "KeyC") {
        navigator.clipboard?.writeText(this.terminal.getSelection()).catch(() => {});
        return false;
      }
      return true;
    });
  }

  fit() {
    if (this.element.clientWidth < 40 || this.element.clientHeight < 20) return;
    this.fitting.fit();
  }

  // The bytes lie in the module's memory, which will have changed by the time xterm.js parses them.
  write(bytes) {
    this.terminal.write(bytes.slice());
  }

  focus() {
    this.terminal.focus();
  }

  clear() {
    this.terminal.reset();
  }

  columns() {
    return this.terminal.cols;
  }

  rows() {
    return this.terminal.rows;
  }

  readAloud(on) {
    this.terminal.options.screenReaderMode = on;
  }

  recolour() {
    this.terminal.options.theme = theme(this.element);
  }

  // What the screen shows, for tests and for "copy all".
  text() {
    const buffer = this.terminal.buffer.active;
    const lines = [];
    for (let index = 0; index < buffer.length; index += 1) {
      lines.push(buffer.getLine(index)?.translateToString(true) ?? "");
    }
    return lines.join("\n").trimEnd();
  }

  dispose() {
    this.observer.disconnect();
    this.terminal.dispose();
  }
}
