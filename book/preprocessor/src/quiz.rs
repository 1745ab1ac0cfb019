//! Questions with choices. Without scripts the answer is under a fold.

use std::path::Path;

use docklab_scenario::{Block, Quiz, Scenario};

use crate::{DirectiveError, escaped, lab};

/// Every question of a lab.
pub(crate) fn render_all(path: &Path) -> Result<String, DirectiveError> {
    let scenario: Scenario = lab::read_scenario(path)?;
    let blocks = scenario.steps.iter().flat_map(|step| step.all_blocks());
    let quizzes = blocks.filter_map(|block| match block {
        Block::Quiz(quiz) => Some(render(quiz)),
        _ => None,
    });
    Ok(quizzes.collect::<Vec<_>>().join("\n"))
}

/// One HTML block.
pub(crate) fn render(quiz: &Quiz) -> String {
    let choices: String = quiz
        .choices
        .iter()
        .map(|choice| format!("<li data-right=\"{}\">{}</li>", choice.right, inline(&choice.text)))
        .collect();
    let right: Vec<String> =
        quiz.choices.iter().filter(|choice| choice.right).map(|choice| inline(&choice.text)).collect();
    format!(
        "<div class=\"docklab-quiz\"><p>{}</p><ol type=\"a\">{choices}</ol><details><summary>Answer</summary><p><strong>{}</strong> {}</p></details></div>\n",
        inline(&quiz.question),
        right.join("; "),
        inline(&quiz.explanation),
    )
}

/// Text whose backquotes mark code.
pub(crate) fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escaped(part);
        html.push_str(&if index % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    html
}

#[cfg(test)]
mod tests {
    use docklab_scenario::Choice;

    use super::*;

    #[test]
    fn the_answer_is_under_a_fold_and_code_is_code() {
        let quiz = Quiz {
            question: "What is `A<B>`?".into(),
            choices: vec![Choice { text: "x".into(), right: false }, Choice { text: "`y`".into(), right: true }],
            explanation: "Because.".into(),
        };
        insta::assert_snapshot!(render(&quiz), @r#"<div class="docklab-quiz"><p>What is <code>A&lt;B&gt;</code>?</p><ol type="a"><li data-right="false">x</li><li data-right="true"><code>y</code></li></ol><details><summary>Answer</summary><p><strong><code>y</code></strong> Because.</p></details></div>"#);
    }
}
