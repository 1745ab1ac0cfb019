//! The scenario that `docklab new` writes: it passes lint and test, and its comments say what each part is for.

use crate::parse::slug;

const TEMPLATE: &str = include_str!("template.md");

/// A scenario with this title.
pub fn template(title: &str) -> String {
    let title = if title.trim().is_empty() { "My lab" } else { title.trim() };
    TEMPLATE.replace("{{title}}", &title.replace(['"', '\\', '\n'], "")).replace("{{id}}", &slug(title))
}

#[cfg(test)]
mod tests {
    use super::template;
    use crate::{format, lint};

    #[test]
    fn a_new_scenario_is_clean_and_formatted() {
        let text = template("Volumes and \"files\"");
        let faults = lint("new.md", &text);
        assert!(faults.is_empty(), "\n{faults}");
        assert_eq!(format(&text), text);
        assert!(text.contains("id = \"volumes-and-files\""));
    }
}
