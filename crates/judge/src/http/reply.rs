//! What a server's words mean.

use serde_json::Value;

/// Characters of a complaint shown.
const SHOWN: usize = 200;

/// A text, and the tokens of question and answer where the server tells them.
type Told = (String, Option<(u64, u64)>);

/// The text of an answer with the tokens of question and answer, or what is wrong and what to do.
pub(super) fn answer(body: &str) -> Result<Told, (String, &'static str)> {
    let protocol = "is this a server of the OpenAI protocol? check --chat-url";
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return Err((format!("the answer is no JSON: {:?}", shorten(body)), protocol));
    };
    let choice = &value["choices"][0];
    let content = &choice["message"]["content"];
    // Some servers give a list of parts.
    let text = match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            parts.iter().map(|part| part["text"].as_str()).collect::<Option<String>>()
        }
        _ => None,
    };
    let Some(text) = text else {
        if choice.is_object() {
            let reason = choice["finish_reason"].as_str().unwrap_or("none");
            let found = format!("an answer without text (finish_reason {reason})");
            return Err((found, "the model may need more tokens, or refuse; try another"));
        }
        return Err((format!("no answer in {:?}", shorten(body)), protocol));
    };
    let count = |name: &str| value["usage"][name].as_u64();
    Ok((text, count("prompt_tokens").zip(count("completion_tokens"))))
}

/// What a server says about a failure.
pub(super) fn complaint(body: &str) -> Option<String> {
    let value: Option<Value> = serde_json::from_str(body).ok();
    let told = value.as_ref().and_then(|value| {
        let places =
            [&value["error"]["message"], &value["error"], &value["message"], &value["detail"]];
        places.into_iter().find_map(Value::as_str)
    });
    let text = told.unwrap_or(body).trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| shorten(text))
}

fn shorten(text: &str) -> String {
    let shown: String = text.trim().chars().take(SHOWN).collect();
    let more = if text.trim().chars().count() > SHOWN { "…" } else { "" };
    shown.split_whitespace().collect::<Vec<_>>().join(" ") + more
}
