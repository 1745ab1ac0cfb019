//! Prose for terminals: the HTML that this crate makes of Markdown, as lines of text.

/// The text of prose, wrapped at `width` columns; paragraphs and list items stand apart.
pub fn plain(html: &str, width: usize) -> String {
    let mut paragraphs: Vec<(String, String)> = Vec::new();
    let mut text = String::new();
    let mut marks: Vec<Option<usize>> = Vec::new();
    let mut lead = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&unescape(&rest[..at]));
        let tag_end = rest[at..].find('>').map_or(rest.len(), |end| at + end + 1);
        let tag = rest[at..tag_end].trim_matches(['<', '>', '/', ' ']);
        let is_end = rest[at..].starts_with("</");
        let name = tag.split([' ', '/']).next().unwrap_or("");
        rest = &rest[tag_end..];
        match (name, is_end) {
            ("code", _) => text.push('`'),
            ("strong" | "b", _) => text.push('*'),
            ("br", _) => text.push('\n'),
            ("img", _) => {
                if let Some(alt) = attribute(tag, "alt") {
                    text.push_str(&format!("[{}]", unescape(alt)));
                }
            }
            ("ul", false) => marks.push(None),
            ("ol", false) => marks.push(Some(0)),
            ("ul" | "ol", true) => {
                close(&mut text, &mut lead, &mut paragraphs);
                marks.pop();
            }
            ("li", false) => {
                close(&mut text, &mut lead, &mut paragraphs);
                let indent = "  ".repeat(marks.len().saturating_sub(1));
                lead = match marks.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{indent}{number}. ")
                    }
                    _ => format!("{indent}• "),
                };
            }
            ("td" | "th", true) => text.push_str("  "),
            ("p" | "li" | "h3" | "h4" | "h5" | "h6" | "pre" | "tr" | "blockquote", _) => {
                close(&mut text, &mut lead, &mut paragraphs);
            }
            _ => {}
        }
    }
    text.push_str(&unescape(rest));
    close(&mut text, &mut lead, &mut paragraphs);
    let mut lines = String::new();
    for (index, (lead, paragraph)) in paragraphs.iter().enumerate() {
        let in_list = !lead.is_empty() && index > 0 && !paragraphs[index - 1].0.is_empty();
        if index > 0 && !in_list {
            lines.push('\n');
        }
        wrap(lead, paragraph, width.max(20), &mut lines);
    }
    lines
}

fn close(text: &mut String, lead: &mut String, paragraphs: &mut Vec<(String, String)>) {
    let paragraph = std::mem::take(text);
    if !paragraph.trim().is_empty() {
        paragraphs.push((std::mem::take(lead), paragraph));
    }
}

fn wrap(lead: &str, paragraph: &str, width: usize, lines: &mut String) {
    let indent = " ".repeat(lead.chars().count());
    let mut line = lead.to_owned();
    let mut is_empty = true;
    for word in paragraph.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line.clone_from(&indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
}

fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let rest = &tag[tag.find(&format!("{name}=\""))? + name.len() + 2..];
    rest.split('"').next().filter(|value| !value.is_empty())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn paragraphs_lists_code_and_pictures_read_as_text() {
        let html = "<p>A <strong>container</strong> is &lt;small&gt; &amp; <code>docker ps</code> shows it in a list.</p>\n<ul>\n<li>one</li>\n<li>two <em>three</em></li>\n</ul>\n<p><img src=\"a.svg\" alt=\"A box.\" /></p>\n";
        insta::assert_snapshot!(plain(html, 30), @r#"
        A *container* is <small> &
        `docker ps` shows it in a
        list.

        • one
        • two three

        [A box.]
        "#);
    }
}
