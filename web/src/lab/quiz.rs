use docklab_scenario::Quiz;
use yew::prelude::*;

use super::check::inline_code;

#[derive(Properties, PartialEq)]
pub(crate) struct QuizBoxProps {
    pub quiz: Quiz,
    /// The choice that was made before, if any.
    #[prop_or_default]
    pub answer: Option<usize>,
    #[prop_or_default]
    pub on_answer: Callback<usize>,
}

#[component]
pub(crate) fn QuizBox(props: &QuizBoxProps) -> Html {
    let several = props.quiz.choices.iter().filter(|choice| choice.right).count() > 1;
    html! {
        <fieldset class="quiz">
            <legend>{ inline_code(&props.quiz.question) }</legend>
            { for props.quiz.choices.iter().enumerate().map(|(index, choice)| {
                let chosen = props.answer == Some(index);
                let verdict = match (chosen, choice.right) {
                    (true, true) => "right",
                    (true, false) => "wrong",
                    (false, _) => "open",
                };
                let on_answer = props.on_answer.clone();
                html! {
                    <button type="button" key={index} class="choice" data-verdict={verdict} aria-pressed={chosen.to_string()}
                        onclick={Callback::from(move |_: MouseEvent| on_answer.emit(index))}>
                        <span class="mark" aria-hidden="true">{ match verdict { "right" => "✓", "wrong" => "✗", _ => "" } }</span>
                        <span>{ inline_code(&choice.text) }</span>
                    </button>
                }
            }) }
            <p class="verdict" role="status">
                if let Some(choice) = props.answer.and_then(|answer| props.quiz.choices.get(answer)) {
                    if choice.right {
                        <strong>{ "Right. " }</strong>{ inline_code(&props.quiz.explanation) }
                        if several { { " More than one answer is right here." } }
                    } else {
                        <strong>{ "Not quite." }</strong>{ " Try another one." }
                    }
                }
            </p>
        </fieldset>
    }
}
