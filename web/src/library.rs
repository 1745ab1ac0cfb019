//! The labs that are offered: Markdown files beside the page.

use std::rc::Rc;

use docklab_scenario::{Scenario, parse};

use crate::browser;

/// A lab with its file's name, which is also its address in the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Lab {
    pub file: String,
    pub scenario: Rc<Scenario>,
}

impl Lab {
    /// The part of the page's address that opens it.
    pub fn route(&self) -> String {
        format!("#/lab/{}", self.file.trim_end_matches(".md"))
    }
}

/// Reads every lab: those that a backend lists, else those of `labs/index.json`. `Err` is a sentence for the student.
pub async fn load(listed: Vec<String>) -> Result<Vec<Lab>, String> {
    let headers = || {
        let token = crate::session::token();
        token.map(|token| ("Authorization", format!("Bearer {token}"))).into_iter().collect::<Vec<_>>()
    };
    let files = if listed.is_empty() {
        let index = browser::fetch_text("labs/index.json", headers())
            .await
            .map_err(|error| format!("The list of labs could not be read ({error})."))?;
        serde_json::from_slice(index.as_bytes()).map_err(|error| format!("The list of labs is not one ({error})."))?
    } else {
        listed
    };
    let mut labs = Vec::new();
    for file in files {
        let text = browser::fetch_text(&format!("labs/{file}"), headers())
            .await
            .map_err(|error| format!("A lab could not be read ({error})."))?;
        labs.push(Lab { scenario: Rc::new(parse(&file, &text).scenario), file });
    }
    Ok(labs)
}
