//! Describing features through a chat server on this machine, from its cache, and by rule.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{fail, json as told, made, run, scratch, succeed};

/// A server that answers every question with `answer`, for as long as the tests run.
fn server(answer: fn(&Value) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, answer));
        }
    });
    url
}

fn serve(mut stream: TcpStream, answer: fn(&Value) -> String) {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while reader.read_line(&mut head).expect("a line") > 2 {}
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body");
    let question: Value = serde_json::from_slice(&body).expect("JSON");
    let body = json!({
        "choices": [{"message": {"role": "assistant", "content": answer(&question)}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2},
    })
    .to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).expect("answers");
}

/// Describes every other feature, and writes sentences that differ.
fn helpful(question: &Value) -> String {
    let said = |at: usize| question["messages"][at]["content"].as_str().unwrap_or_default();
    let (system, user) = (said(0), said(1));
    if system.contains("sentence") {
        return format!("Sentence number {} of some length.", user.lines().count());
    }
    if user.len() % 2 == 0 { "Link: TRASH".to_owned() } else { "Link: even things".to_owned() }
}

fn features(folder: &Path) {
    let recording = made().join("rec");
    let line =
        format!("decompose snmf -k 4 --iterations 20 --restarts 1 {} -o f", recording.display());
    succeed(folder, &line);
}

#[test]
fn a_server_describes_and_its_answers_replay() {
    let (out, net) = (scratch(), made().join("net"));
    features(out.path());
    let url = server(helpful);
    let line = format!(
        "explain describe f --model {} --chat-url {url} --chat-model tiny --chat-cache c",
        net.display()
    );
    let estimate = told(out.path(), &format!("{line} --estimate"));
    let questions = estimate["questions"].as_u64().expect("a number");
    assert!((4..=12).contains(&questions), "{estimate}");
    assert_eq!(estimate["cached"], 0);
    let first = told(out.path(), &line);
    let described = first["descriptions"].as_array().expect("descriptions");
    assert_eq!((described.len() as u64, &first["missing"]), (questions, &json!(0)));
    let sides: Vec<&Value> = described.iter().map(|one| &one["side"]).collect();
    assert!(sides.contains(&&json!("input")) && sides.contains(&&json!("output")), "{sides:?}");
    assert_eq!(first["preferred"], "input", "the only layer is in the first half");

    // Nobody is asked any more: offline, and with no server at all.
    let replay = format!(
        "explain describe f --model {} --chat-model tiny --chat-cache c --chat-replay --offline",
        net.display()
    );
    assert_eq!(told(out.path(), &replay), first);
    assert_eq!(told(out.path(), &format!("{line} --estimate"))["cached"], questions);
    fail(out.path(), &format!("{replay} --shown 3"), 2, &["answers.jsonl", "--chat-replay"]);

    let line = format!("explain sentences f --chat-url {url} --chat-model tiny --each 3 -o s.json");
    let told = told(out.path(), &line);
    let text = std::fs::read(out.path().join("s.json")).expect("is written");
    let sentences: Value = serde_json::from_slice(&text).expect("JSON");
    let concepts = sentences.as_object().expect("concepts");
    assert_eq!(told["concepts"], concepts.len());
    for (name, sides) in concepts {
        assert!(name.ends_with(": even things"), "{name}");
        assert_eq!(sides["activating"].as_array().map(Vec::len), Some(3), "{sides}");
        assert_eq!(sides["neutral"].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn rules_describe_without_a_server() {
    let out = scratch();
    features(out.path());
    fail(out.path(), "explain sentences f -o s.json", 2, &["explain describe"]);
    let described = told(out.path(), "explain describe f --features 0-2 --offline");
    let described = described["descriptions"].as_array().expect("descriptions").clone();
    assert!(described.iter().all(|one| one["feature"].as_u64() < Some(3)), "{described:?}");
    assert!(described.iter().all(|one| one["source"] == "nissl, by rule"), "{described:?}");
    if described.iter().any(|one| one["text"].is_string()) {
        let outcome = run(out.path(), "explain sentences f -o s.json");
        assert!(outcome.code == 0 || outcome.stderr.contains("is empty"), "{}", outcome.stderr);
        let honest = outcome.code != 0 || outcome.stderr.contains("recorded contexts, not written");
        assert!(honest, "{}", outcome.stderr);
    }
}

#[test]
fn what_cannot_be_asked_is_told() {
    let out = scratch();
    features(out.path());
    let chat = "explain describe f --chat-model tiny";
    let nowhere = "--chat-url http://127.0.0.1:9";
    for (line, code, parts) in [
        (format!("{chat} {nowhere} --offline"), 4, &["127.0.0.1:9", "--offline"][..]),
        (chat.to_owned(), 2, &["`chat-url`"]),
        (format!("{chat} {nowhere} --chat-key-env NO_SUCH_KEY"), 2, &["NO_SUCH_KEY", "not set"]),
        (format!("{chat} {nowhere} --chat-budget-tokens 5"), 2, &["`chat-budget-tokens`", "raise"]),
        (format!("{chat} --chat-replay"), 2, &["`chat-cache`"]),
        (format!("{chat} {nowhere} --chat-at-once 0"), 2, &["`chat-at-once`"]),
        ("explain describe f --features 9".to_owned(), 2, &["`features`", "below 4"]),
        ("explain describe f --side output".to_owned(), 2, &["`model`"]),
        ("explain describe f --shown 0".to_owned(), 2, &["`shown`"]),
    ] {
        fail(out.path(), &line, code, parts);
    }
}
