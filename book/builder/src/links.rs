//! Links of a built site: every relative one must lead to a file, and to a place in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// `FILE: LINK` for each link that leads nowhere. Links that leave the site's directory are not followed: what stands beside
/// it is another's.
pub(crate) fn broken(site: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    collect(site, &mut pages)?;
    let targets: BTreeMap<&PathBuf, BTreeSet<&str>> =
        pages.iter().map(|(path, html)| (path, values(html, "id").collect())).collect();
    let mut broken = Vec::new();
    for (path, html) in &pages {
        let links = values(html, "href").chain(values(html, "src"));
        for link in links.collect::<BTreeSet<_>>() {
            if !leads_somewhere(site, path, link, &targets) {
                broken.push(format!("{}: {link}", path.strip_prefix(site).unwrap_or(path).display()));
            }
        }
    }
    Ok(broken)
}

fn leads_somewhere(site: &Path, page: &Path, link: &str, targets: &BTreeMap<&PathBuf, BTreeSet<&str>>) -> bool {
    let is_foreign =
        ["http:", "https:", "mailto:", "data:", "javascript:", "/"].iter().any(|head| link.starts_with(head));
    if is_foreign || link.is_empty() {
        return true;
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let path = path.split('?').next().unwrap_or_default();
    let target = if path.is_empty() {
        page.to_owned()
    } else {
        match normal(&page.parent().unwrap_or(site).join(path)) {
            Some(target) if target.starts_with(site) => target,
            _ => return true,
        }
    };
    let target = if target.is_dir() { target.join("index.html") } else { target };
    match targets.get(&target) {
        Some(ids) => fragment.is_empty() || ids.contains(fragment),
        None => target.exists(),
    }
}

/// Without `.` and `..`.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            other => normal.push(other),
        }
    }
    Some(normal)
}

fn collect(directory: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let html = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            pages.insert(path, html);
        }
    }
    Ok(())
}

/// The values of an attribute, as mdBook writes it: in double quotes.
fn values<'a>(html: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!(" {attribute}=\"");
    let mut rest = html;
    std::iter::from_fn(move || {
        let start = rest.find(&opening)? + opening.len();
        let end = start + rest[start..].find('"')?;
        let value = &rest[start..end];
        rest = &rest[end..];
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_missing_files_and_places_are_found() {
        let site = tempfile::tempdir().unwrap();
        let page = r##"<a href="b.html#x">1</a><a href="b.html#y">2</a><a href="c.html">3</a><a href="#here">4</a>
            <a href="https://example.com/">5</a><a href="../../page">6</a><p id="here"></p><img src="no.svg">"##;
        fs::write(site.path().join("a.html"), page).unwrap();
        fs::write(site.path().join("b.html"), r#"<h1 id="x"></h1>"#).unwrap();
        assert_eq!(broken(site.path()).unwrap(), ["a.html: b.html#y", "a.html: c.html", "a.html: no.svg"]);
    }
}
