//! Prose as HTML that is safe to put into a page: the author's raw HTML appears as text, links and images carry only
//! harmless schemes.

use pulldown_cmark::{CowStr, Event, Tag, html::push_html};

/// Renders events of one passage.
pub(crate) fn render<'a>(events: impl IntoIterator<Item = Event<'a>>) -> String {
    let mut html = String::new();
    push_html(&mut html, events.into_iter().filter_map(harmless));
    html
}

fn harmless(event: Event<'_>) -> Option<Event<'_>> {
    Some(match event {
        // A comment is a note between authors.
        Event::Html(html) | Event::InlineHtml(html) if html.trim_start().starts_with("<!--") => return None,
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: address(dest_url), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Image { link_type, dest_url: address(dest_url), title, id })
        }
        other => other,
    })
}

/// Keeps relative addresses and those of http, https and mailto.
fn address(url: CowStr<'_>) -> CowStr<'_> {
    let scheme = url.split(['/', '?', '#']).next().and_then(|head| head.split_once(':')).map(|(scheme, _)| scheme);
    match scheme.map(|scheme| scheme.trim().to_ascii_lowercase()) {
        None => url,
        Some(scheme) if matches!(scheme.as_str(), "http" | "https" | "mailto") => url,
        Some(_) => CowStr::Borrowed("#"),
    }
}

#[cfg(test)]
mod tests {
    use pulldown_cmark::Parser;

    use super::*;

    #[test]
    fn scripts_become_text_and_comments_vanish() {
        let html = render(Parser::new("a <b onclick=x>b</b>\n\n<script>alert(1)</script>\n\n<!-- note -->\n"));
        assert!(!html.contains("<script") && !html.contains("<b ") && !html.contains("note"), "{html}");
    }

    #[test]
    fn foreign_schemes_are_cut() {
        let html = render(Parser::new("[a](javascript:alert(1)) [b](JAVASCRIPT:x) [c](images/a.svg) [d](https://x.y)"));
        insta::assert_snapshot!(html, @r##"<p><a href="#">a</a> <a href="#">b</a> <a href="images/a.svg">c</a> <a href="https://x.y">d</a></p>"##);
    }
}
