//! How a build's vertices look: as lines that are only added, or as a table that is drawn anew.

use super::{Progress, Vertex};

pub(super) struct Screen {
    progress: Progress,
    width: usize,
    /// For each vertex what has been printed of it.
    printed: Vec<Printed>,
    /// Lines of the table on a terminal.
    lines: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Printed {
    name: bool,
    details: usize,
    log: usize,
    end: bool,
}

impl Screen {
    pub(super) fn new(progress: Progress, width: usize) -> Self {
        Self { progress, width, printed: Vec::new(), lines: 0 }
    }

    /// What to write now; `now` is in seconds since the build began.
    pub(super) fn draw(&mut self, vertices: &[Vertex], now: f64) -> String {
        match self.progress {
            Progress::Quiet => String::new(),
            Progress::Plain => self.plain(vertices),
            Progress::Terminal => self.table(vertices, now),
        }
    }

    fn plain(&mut self, vertices: &[Vertex]) -> String {
        let mut output = String::new();
        if self.printed.is_empty() && !vertices.is_empty() {
            output.push_str("#0 building with \"default\" instance using docker driver\n");
        }
        self.printed.resize(vertices.len(), Printed::default());
        for (index, (vertex, printed)) in vertices.iter().zip(&mut self.printed).enumerate() {
            let number = index + 1;
            if !printed.name {
                output.push_str(&format!("\n#{number} {}\n", vertex.name));
                printed.name = true;
            }
            for detail in &vertex.details[printed.details..] {
                output.push_str(&format!("#{number} {detail}\n"));
            }
            printed.details = vertex.details.len();
            for (since, line) in &vertex.log[printed.log..] {
                output.push_str(&format!("#{number} {since:.3} {line}\n"));
            }
            printed.log = vertex.log.len();
            if let (Some(ended), false) = (vertex.ended, printed.end) {
                match (&vertex.error, vertex.cached) {
                    (Some(error), _) => output.push_str(&format!("#{number} ERROR: {error}\n")),
                    (None, true) => output.push_str(&format!("#{number} CACHED\n")),
                    (None, false) => output.push_str(&format!("#{number} DONE {:.1}s\n", ended - vertex.started)),
                }
                printed.end = true;
            }
        }
        output
    }

    fn table(&mut self, vertices: &[Vertex], now: f64) -> String {
        let done = vertices.iter().filter(|vertex| vertex.ended.is_some()).count();
        let mut lines =
            vec![self.row(&format!("[+] Building {now:.1}s ({done}/{})", vertices.len()), "docker:default")];
        for vertex in vertices {
            let spent = vertex.ended.unwrap_or(now) - vertex.started;
            let mark = match (&vertex.error, vertex.cached) {
                (Some(_), _) => "ERROR ",
                (None, true) => "CACHED ",
                (None, false) => "",
            };
            let (start, end) = match (&vertex.error, vertex.ended) {
                (Some(_), _) => ("\x1b[31m", "\x1b[0m"),
                (None, Some(_)) => ("\x1b[34m", "\x1b[0m"),
                (None, None) => ("", ""),
            };
            let time = format!("{spent:.1}s");
            lines.push(format!("{start}{}{end}", self.row(&format!(" => {mark}{}", vertex.name), &time)));
            for detail in &vertex.details {
                let detail = detail.strip_suffix(" done").unwrap_or(detail);
                lines.push(format!("{start}{}{end}", self.row(&format!(" => => {detail}"), &time)));
            }
            // Of a command that runs, its last lines.
            if vertex.ended.is_none() {
                let from = vertex.log.len().saturating_sub(6);
                for (since, line) in &vertex.log[from..] {
                    lines.push(self.row(&format!(" => => # {line}"), &format!("{since:.1}s")));
                }
            }
        }
        let up = "\x1b[1A".repeat(self.lines);
        self.lines = lines.len();
        let text: String = lines.iter().map(|line| format!("\x1b[2K{line}\r\n")).collect();
        format!("{up}\x1b[0G\x1b[?25l{text}\x1b[J\x1b[?25h")
    }

    /// Text at the left, cut to fit, and something at the right end.
    fn row(&self, left: &str, right: &str) -> String {
        let room = self.width.saturating_sub(right.chars().count() + 1);
        let left: String = if left.chars().count() > room {
            left.chars().take(room.saturating_sub(3)).collect::<String>() + "..."
        } else {
            left.to_owned()
        };
        format!("{left:<room$} {right}")
    }
}
