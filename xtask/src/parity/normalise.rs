//! Takes out of an answer what differs from run to run: IDs, times, addresses, sizes, random names, column widths.

use std::sync::LazyLock;

use regex_lite::Regex;

static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (r"\b[0-9a-f]{64}\b", "<ID>"),
        (r"\b[0-9a-f]{12}\b", "<id>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d( [A-Z]{3})?)?", "<time>"),
        (r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
        (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "<time>"),
        (
            r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +[A-Z0-9][A-Za-z0-9]* +[A-Z0-9][A-Za-z0-9]* [0-9:]+( [0-9:]+)?( [A-Z]{3})?",
            "<time>",
        ),
        (r"(About )?(an?|\d+|Less than a) (second|minute|hour|day|week|month|year)s?", "<duration>"),
        (r"\b\d+(\.\d+)?(ms|s)\b", "<duration>"),
        (r"\b\d+(\.\d+)?([kMGT]i?)?B\b", "<size>"),
        (r"\b(172|10|192)\.\d+\.\d+\.\d+\b", "<address>"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
        (r"\b[a-z]{3,}_[a-z]{3,}\b", "<name>"),
        (r"/tmp/\.tmp[A-Za-z0-9]{6}", "<directory>"),
        (r"/[^ ']*/target/machines/m[A-Za-z0-9]{4}", "<machine>"),
        (r"127\.0\.0\.1:\d{5}->", "127.0.0.1:<port>->"),
        (r" +", " "),
        (r"[ \r]*(\n|$)", "\n"),
    ];
    rules.into_iter().filter_map(|(rule, replacement)| Some((Regex::new(rule).ok()?, replacement))).collect()
});

pub(super) fn normalise(text: &str) -> String {
    let mut text = text.to_owned();
    for (rule, replacement) in RULES.iter() {
        text = rule.replace_all(&text, *replacement).into_owned();
    }
    if text.trim().is_empty() { String::new() } else { format!("{}\n", text.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_the_same_whatever_its_widths() {
        let row =
            |id: &str, ago: &str, name: &str| format!("{id}   ubuntu    \"top\"   {ago}   Up 1 second    {name}\n");
        let one = normalise(&row("97dd711bbc53", "2 seconds ago", "zen_wu"));
        let other = normalise(&row("0123456789ab", "About a minute ago", "zen_wu"));
        assert_eq!(one, other);
        assert_eq!(one, "<id> ubuntu \"top\" <duration> ago Up <duration> zen_wu\n");
    }

    #[test]
    fn every_rule_is_a_regular_expression() {
        assert_eq!(RULES.len(), 17);
    }

    #[test]
    fn words_stay() {
        let text = "Error response from daemon: No such container: nosuch\n";
        assert_eq!(normalise(text), text);
    }
}
