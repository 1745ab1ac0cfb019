//! Reports as JUnit XML, which continuous integration servers show: one suite a lab and engine, one case a route.

use std::fmt::Write as _;

use crate::report::TestReport;

/// The reports in the order given.
pub fn junit(reports: &[TestReport]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let failures = report.tally().failed;
        // Writing to a String does not fail.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{} on {}\" tests=\"{}\" failures=\"{failures}\">",
            escape(&report.scenario),
            escape(&report.engine),
            report.routes.len(),
        );
        for route in &report.routes {
            let name = escape(format!("{} {}", route.kind, route.route).trim());
            let class = format!("{}.{}", escape(&report.scenario), escape(&route.step));
            if route.passed() {
                let _ = writeln!(xml, "    <testcase classname=\"{class}\" name=\"{name}\"/>");
            } else {
                let texts: Vec<&str> = route.problems.iter().map(|problem| problem.text.as_str()).collect();
                let first = texts.first().and_then(|text| text.lines().next()).unwrap_or_default();
                let kind = route.problems.first().map_or("", |problem| problem.kind.as_str());
                let _ = writeln!(
                    xml,
                    "    <testcase classname=\"{class}\" name=\"{name}\">\n      <failure type=\"{kind}\" message=\"{}\">{}</failure>\n    </testcase>",
                    escape(first),
                    escape(&texts.join("\n")),
                );
            }
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Markup escaped; characters that XML 1.0 cannot hold at all (section 2.2) become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(letter),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::junit;
    use crate::{Problem, ProblemKind, RouteKind, RouteReport, TestReport};

    fn route(kind: RouteKind, route: &str, problems: &[&str]) -> RouteReport {
        RouteReport {
            step: "build".to_owned(),
            kind,
            route: route.to_owned(),
            problems: problems
                .iter()
                .map(|text| Problem { kind: ProblemKind::FalseGreen, text: (*text).to_owned() })
                .collect(),
            is_harmless: false,
        }
    }

    #[test]
    fn a_failed_route_is_a_failure_with_its_problems_escaped() {
        let report = TestReport {
            scenario: "images".to_owned(),
            engine: "docker".to_owned(),
            routes: vec![
                route(RouteKind::Reference, "docker build .", &[]),
                route(RouteKind::Wrong, "echo \"a\" > b", &["green:\n<x> & \u{1b}[0m"]),
            ],
        };
        insta::assert_snapshot!(junit(&[report]), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="images on docker" tests="2" failures="1">
            <testcase classname="images.build" name="reference docker build ."/>
            <testcase classname="images.build" name="wrong echo &quot;a&quot; &gt; b">
              <failure type="false-green" message="green:">green:
        &lt;x&gt; &amp; �[0m</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
