//! A small full-screen editor in the manner of nano, also under the name vi.

use crate::process::{Closed, Context, Tty};

struct Editor {
    lines: Vec<String>,
    row: usize,
    column: usize,
    top: usize,
    changed: bool,
    message: String,
}

pub(super) async fn editor(context: Context) -> Result<i32, Closed> {
    let Some(tty) = context.streams.output_terminal().cloned().filter(|_| context.streams.input_is_terminal()) else {
        return context.fail(1, "standard input is not a terminal").await;
    };
    let name = context.argv.iter().skip(1).find(|word| !word.starts_with(['-', '+'])).cloned();
    let Some(name) = name else { return context.fail(1, "give the name of a file to edit").await };
    let path = context.path(&name);
    if context.view().is_directory(&path) {
        return context.fail(1, format!("{name} is a directory")).await;
    }
    let text = context.view().read_text(&path).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    let mut editor = Editor { lines, row: 0, column: 0, top: 0, changed: false, message: String::new() };
    tty.set_raw(true);
    tty.write_raw(b"\x1b[?1049h");
    let mut escape = String::new();
    let mut asked = false;
    'keys: loop {
        editor.draw(&tty, &name, asked);
        let Some(bytes) = context.streams.stdin.read().await else { break };
        for c in String::from_utf8_lossy(&bytes).chars() {
            if asked {
                match c {
                    'y' | 'Y' => {
                        let text = editor.lines.join("\n") + "\n";
                        match context.view().write(&path, text.as_bytes(), false) {
                            Ok(()) => break 'keys,
                            Err(error) => editor.message = error.to_string(),
                        }
                    }
                    'n' | 'N' => break 'keys,
                    _ => {}
                }
                asked = false;
                continue;
            }
            if !escape.is_empty() {
                escape.push(c);
                if escape.len() > 2 && !c.is_ascii_digit() {
                    editor.escape(&escape);
                    escape.clear();
                }
                continue;
            }
            match c {
                '\x1b' => escape.push(c),
                '\x18' if !editor.changed => break 'keys,
                '\x18' => asked = true,
                '\x0f' | '\x13' => {
                    let text = editor.lines.join("\n") + "\n";
                    match context.view().write(&path, text.as_bytes(), false) {
                        Ok(()) => {
                            editor.message = format!("Wrote {} lines", editor.lines.len());
                            editor.changed = false;
                        }
                        Err(error) => editor.message = error.to_string(),
                    }
                }
                c => editor.key(c),
            }
        }
    }
    tty.write_raw(b"\x1b[?1049l");
    tty.set_raw(false);
    Ok(0)
}

impl Editor {
    fn byte(&self) -> usize {
        let line = &self.lines[self.row];
        line.char_indices().nth(self.column).map_or(line.len(), |(at, _)| at)
    }
    fn width(&self) -> usize {
        self.lines[self.row].chars().count()
    }
    fn key(&mut self, c: char) {
        let at = self.byte();
        match c {
            '\r' | '\n' => {
                let rest = self.lines[self.row].split_off(at);
                self.lines.insert(self.row + 1, rest);
                self.row += 1;
                self.column = 0;
            }
            '\x7f' | '\x08' if self.column > 0 => {
                self.column -= 1;
                let at = self.byte();
                self.lines[self.row].remove(at);
            }
            '\x7f' | '\x08' if self.row > 0 => {
                let line = self.lines.remove(self.row);
                self.row -= 1;
                self.column = self.width();
                self.lines[self.row] += &line;
            }
            '\x0b' => {
                self.lines.remove(self.row);
                if self.lines.is_empty() {
                    self.lines.push(String::new());
                }
                self.row = self.row.min(self.lines.len() - 1);
                self.column = 0;
            }
            '\x01' => {
                self.column = 0;
                return;
            }
            '\x05' => {
                self.column = self.width();
                return;
            }
            '\t' => {
                self.lines[self.row].insert_str(at, "    ");
                self.column += 4;
            }
            c if !c.is_control() => {
                self.lines[self.row].insert(at, c);
                self.column += 1;
            }
            _ => return,
        }
        self.changed = true;
    }
    fn escape(&mut self, sequence: &str) {
        match &sequence[2..] {
            "A" => self.row = self.row.saturating_sub(1),
            "B" => self.row = (self.row + 1).min(self.lines.len() - 1),
            "C" => self.column += 1,
            "D" => self.column = self.column.saturating_sub(1),
            "H" => self.column = 0,
            "F" => self.column = usize::MAX,
            "3~" if self.column < self.width() => {
                let at = self.byte();
                self.lines[self.row].remove(at);
                self.changed = true;
            }
            _ => {}
        }
        self.column = self.column.min(self.width());
    }
    fn draw(&mut self, tty: &Tty, name: &str, asked: bool) {
        let (rows, columns) = tty.size();
        let (rows, columns) = (usize::from(rows), usize::from(columns));
        let height = rows.saturating_sub(3).max(1);
        self.top = self.top.clamp((self.row + 1).saturating_sub(height), self.row);
        let star = if self.changed { " *" } else { "" };
        let mut screen = format!("\x1b[H\x1b[7m{:<columns$}\x1b[0m\r\n", format!("  {name}{star}"));
        for line in self.lines.iter().skip(self.top).take(height) {
            let shown: String = line.chars().take(columns.saturating_sub(1)).collect();
            screen += &format!("{shown}\x1b[K\r\n");
        }
        let message = if asked { "Save modified buffer? (y/n)" } else { &self.message };
        screen += &format!(
            "\x1b[J\x1b[{};1H{message}\x1b[K\x1b[{rows};1H\x1b[7m^O\x1b[0m Write Out  \x1b[7m^K\x1b[0m Cut  \x1b[7m^X\x1b[0m Exit\x1b[K",
            rows - 1
        );
        screen += &format!("\x1b[{};{}H", self.row - self.top + 2, self.column + 1);
        tty.write_raw(screen.as_bytes());
        self.message.clear();
    }
}
