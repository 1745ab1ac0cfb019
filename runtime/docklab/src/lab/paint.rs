//! Colours on a terminal (ECMA-48 SGR), and nothing elsewhere.

use docklab_scenario::{Diagnostics, StepReport};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    is_coloured: bool,
}

impl Paint {
    pub(crate) fn new(is_coloured: bool) -> Self {
        Self { is_coloured }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
    pub(crate) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }
    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }
    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }
    pub(crate) fn notice(self, text: &str) -> String {
        self.with("33", text)
    }

    /// As their text form, with the heads of the faults and the marks below the lines coloured.
    pub(crate) fn diagnostics(self, diagnostics: &Diagnostics) -> String {
        let paint = |line: &str| {
            let colour = |text: &str| if line.starts_with("error[") { self.bad(text) } else { self.notice(text) };
            match line.split_once(": ") {
                Some((head, message)) if line.starts_with("error[") || line.starts_with("warning[") => {
                    format!("{}{}", colour(head), self.bold(&format!(": {message}")))
                }
                _ if line.contains(" | ") && line.contains('^') => self.notice(line),
                _ => line.to_owned(),
            }
        };
        diagnostics.to_string().lines().map(paint).collect::<Vec<_>>().join("\n")
    }

    /// A step's report with its signs coloured.
    pub(crate) fn report(self, report: &StepReport) -> String {
        let paint = |line: &str| match line.chars().next() {
            Some('✓') => self.good(line),
            Some('✗') => self.bad(line),
            Some('→') => self.notice(line),
            _ => line.to_owned(),
        };
        report.to_string().lines().map(paint).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::Paint;

    #[test]
    fn without_a_terminal_the_text_is_the_plain_one() {
        let faults = docklab_scenario::lint("a.md", "# A\n");
        assert_eq!(Paint::new(false).diagnostics(&faults), faults.to_string());
        assert!(Paint::new(true).diagnostics(&faults).starts_with("\u{1b}[31merror[front-matter]\u{1b}[0m"));
    }
}
