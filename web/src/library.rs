//! The labs that are offered: Markdown files beside the page.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    rc::Rc,
};

use docklab_scenario::{Scenario, expand, parse, wanted};

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

/// A lab's text with what it includes.
async fn whole(file: &str, headers: Vec<(&'static str, String)>) -> Result<String, String> {
    let fetch = async |path: &str| {
        let text = browser::fetch_text(&format!("labs/{path}"), headers.clone()).await;
        text.map_err(|error| format!("A lab could not be read ({error})."))
    };
    let text = fetch(file).await?;
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    let mut open = wanted(&text);
    while let Some(path) = open.pop() {
        if let Entry::Vacant(place) = parts.entry(path) {
            let part = fetch(place.key()).await?;
            open.extend(wanted(&part));
            place.insert(part);
        }
    }
    let expanded = expand(file, &text, &|path| parts.get(path).cloned());
    expanded.map(|expanded| expanded.text).map_err(|error| format!("A lab could not be read ({error})."))
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
        let text = whole(&file, headers()).await?;
        labs.push(Lab { scenario: Rc::new(parse(&file, &text).scenario), file });
    }
    Ok(labs)
}
