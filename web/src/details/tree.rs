use serde_json::Value;
use yew::prelude::*;

#[derive(Properties, PartialEq)]
pub(super) struct JsonTreeProps {
    pub(super) value: Value,
}

/// JSON as nested lists that open and close. What a newcomer looks for first is open.
#[component]
pub(super) fn JsonTree(props: &JsonTreeProps) -> Html {
    html! { <div class="tree">{ children(&props.value) }</div> }
}

const OPEN_AT_FIRST: [&str; 4] = ["State", "NetworkSettings", "Networks", "Ports"];

fn children(value: &Value) -> Html {
    match value {
        Value::Object(map) => html! { <ul>{ for map.iter().map(|(key, value)| entry(key, value)) }</ul> },
        Value::Array(list) => html! {
            <ul>{ for list.iter().enumerate().map(|(index, value)| entry(&index.to_string(), value)) }</ul>
        },
        plain => scalar(plain),
    }
}

fn entry(key: &str, value: &Value) -> Html {
    let amount = match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    if amount == 0 {
        return html! { <li key={key.to_owned()}><span class="key">{ key }</span>{ scalar(value) }</li> };
    }
    html! {
        <li key={key.to_owned()}>
            <details open={OPEN_AT_FIRST.contains(&key)}>
                <summary><span class="key">{ key }</span><span class="amount">{ amount }</span></summary>
                { children(value) }
            </details>
        </li>
    }
}

fn scalar(value: &Value) -> Html {
    let (kind, text) = match value {
        Value::String(text) if text.is_empty() => ("empty", "\"\"".to_owned()),
        Value::String(text) => ("text", text.clone()),
        Value::Number(number) => ("number", number.to_string()),
        Value::Bool(flag) => ("flag", flag.to_string()),
        Value::Null => ("empty", "null".to_owned()),
        Value::Array(_) => ("empty", "[]".to_owned()),
        Value::Object(_) => ("empty", "{}".to_owned()),
    };
    html! { <span class="value" data-kind={kind}>{ text }</span> }
}
