//! Against a little server on this machine; nothing leaves it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread::JoinHandle;

use super::*;

const SECRET: &str = "sk-very-secret-1234";

/// What the server does with a request.
#[derive(Clone)]
enum Does {
    /// Status, further headers, body.
    Say(u16, &'static str, String),
    /// Nothing, for so long.
    Wait(Duration),
    /// Breaks the connection.
    Break,
}

fn good(answer: &str) -> Does {
    let body = json!({
        "choices": [{"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    });
    Does::Say(200, "", body.to_string())
}

/// A request as it came.
struct Request {
    head: String,
    body: serde_json::Value,
}

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    thread: JoinHandle<()>,
}

/// Answers one request after the other, and then listens no more.
fn server(does: Vec<Does>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let seen = Arc::clone(&requests);
    let thread = std::thread::spawn(move || {
        for does in does {
            let (stream, _) = listener.accept().expect("a request");
            let request = read(&stream);
            seen.lock().expect("requests").push(request);
            reply(stream, does);
        }
    });
    Server { url, requests, thread }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).expect("a line") > 2 {}
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body");
    Request { head, body: serde_json::from_slice(&body).expect("JSON") }
}

fn reply(mut stream: TcpStream, does: Does) {
    match does {
        Does::Say(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}");
            let text = format!("{head}connection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).expect("answers");
        }
        Does::Wait(time) => std::thread::sleep(time),
        Does::Break => {}
    }
}

fn chat(url: &str, meter: &Arc<Meter>) -> Http {
    let settings = ChatSettings { chat_retries: 2, chat_timeout_s: 0.5, ..ChatSettings::default() };
    let key = Some(Key::new(SECRET).expect("a key"));
    let address = Address::parse(url).expect("an address");
    let shared = (Arc::clone(meter), &Progress::silent());
    let mut http = Http::new(address, "tiny".to_owned(), key, &settings, shared);
    http.first_pause = Duration::from_millis(10);
    http
}

/// The outcome of one question, and the requests it took.
fn ask(does: Vec<Does>) -> (Result<String>, Vec<Request>) {
    let server = server(does);
    let outcome = chat(&server.url, &Meter::new(0)).ask(&Question::new("be brief", "why?"));
    drop(server.thread.join());
    let requests = std::mem::take(&mut *server.requests.lock().expect("requests"));
    (outcome, requests)
}

/// The whole of an error: its message and its help.
fn told(outcome: Result<String>) -> String {
    let error = outcome.expect_err("fails");
    assert_eq!(error.exit_code(), 4, "{error}");
    format!("{error} {error:?}")
}

#[test]
fn a_question_is_asked_as_the_protocol_wants_and_counted() {
    let server = server(vec![good("because")]);
    let meter = Meter::new(0);
    let http = chat(&server.url, &meter);
    let question = Question { seed: 9, temperature: 0.5, ..Question::new("be brief", "why?") };
    assert_eq!(http.ask(&question).expect("answers"), "because");
    let requests = server.requests.lock().expect("requests");
    assert!(requests[0].head.starts_with("POST /v1/chat/completions HTTP/1.1"));
    assert!(requests[0].head.contains(&format!("Bearer {SECRET}")));
    let body = json!({
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}
        ],
        "temperature": 0.5, "seed": 9, "max_tokens": 512,
    });
    assert_eq!(requests[0].body, body);
    let spent = meter.spent();
    assert_eq!((spent.question_tokens, spent.answer_tokens, spent.told), (7, 3, true));
}

#[test]
fn a_busy_server_is_asked_again_after_the_pause_it_wants() {
    let begun = Instant::now();
    let busy = Does::Say(429, "retry-after: 0.3\r\n", "slow down".to_owned());
    let (outcome, requests) = ask(vec![busy, good("yes")]);
    assert_eq!(outcome.expect("answers"), "yes");
    assert_eq!(requests.len(), 2);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(requests[0].body, requests[1].body);
}

#[test]
fn failures_that_pass_are_overcome_and_others_told() {
    let failed = || Does::Say(500, "", r#"{"error":{"message":"out of memory"}}"#.to_owned());
    let (outcome, requests) = ask(vec![failed(), Does::Break, good("yes")]);
    assert_eq!((outcome.expect("answers").as_str(), requests.len()), ("yes", 3));

    let (outcome, requests) = ask(vec![failed(), failed(), failed()]);
    let error = told(outcome);
    assert_eq!(requests.len(), 3, "first try and two retries");
    for part in ["127.0.0.1:", "500", "out of memory", "3 times", "--chat-retries"] {
        assert!(error.contains(part), "{error} lacks {part}");
    }
}

#[test]
fn a_pause_without_end_is_not_waited_for() {
    let busy = Does::Say(503, "retry-after: 86400\r\n", String::new());
    let error = told(ask(vec![busy]).0);
    assert!(error.contains("86400") && error.contains("later"), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    let wait = Does::Wait(Duration::from_millis(700));
    let error = told(ask(vec![wait.clone(), wait.clone(), wait]).0);
    assert!(error.contains("no answer within 0.5 s"), "{error}");
    // Nobody listens at a port that was just given back.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = told(chat(&url, &Meter::new(0)).ask(&Question::new("a", "b")));
    assert!(error.contains("refuses the connection") && error.contains("running"), "{error}");
}

#[test]
fn a_refused_key_is_told_at_once_and_never_shown() {
    for status in [401, 403, 400, 404, 500, 200] {
        let body = format!("{{\"error\":{{\"message\":\"bad key {SECRET}\"}}}}");
        let does = Does::Say(status, "", body);
        let count = if status == 500 { 3 } else { 1 };
        let (outcome, requests) = ask(vec![does; count]);
        assert_eq!(requests.len(), count, "{status}");
        let error = told(outcome);
        assert!(!error.contains(SECRET), "{error}");
        assert_eq!(error.contains("--chat-key-env"), matches!(status, 401 | 403), "{error}");
    }
    let key = Key::new(SECRET).expect("a key");
    assert!(!format!("{key:?}").contains(SECRET));
}

#[test]
fn words_that_are_no_answer_are_told_apart() {
    for (body, part) in [
        ("<html>login</html>", "no JSON"),
        ("{\"choices\": [", "no JSON"),
        ("{}", "no answer in"),
        ("[]", "no answer in"),
        ("{\"choices\": []}", "no answer in"),
        (r#"{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}"#, "length"),
    ] {
        let (outcome, requests) = ask(vec![Does::Say(200, "", body.to_owned())]);
        let error = told(outcome);
        assert!(error.contains(part), "{body}: {error}");
        assert_eq!(requests.len(), 1);
    }
    let parts = r#"{"choices": [{"message": {"content": [{"text": "a"}, {"text": "b"}]}}]}"#;
    assert_eq!(ask(vec![Does::Say(200, "", parts.to_owned())]).0.expect("answers"), "ab");
}

#[test]
fn the_newer_name_of_the_bound_is_learnt() {
    let complaint = r#"{"error":{"message":"Use 'max_completion_tokens' instead."}}"#;
    let (outcome, requests) = ask(vec![Does::Say(400, "", complaint.to_owned()), good("yes")]);
    assert_eq!(outcome.expect("answers"), "yes");
    assert!(requests[1].body["max_tokens"].is_null());
    assert_eq!(requests[1].body["max_completion_tokens"], 512);
}

#[test]
fn a_quota_and_a_redirection_are_not_asked_again() {
    let quota = Does::Say(429, "", r#"{"error":{"code":"insufficient_quota"}}"#.to_owned());
    assert!(told(ask(vec![quota]).0).contains("quota"));
    let moved = Does::Say(308, "location: http://127.0.0.1:1/\r\n", String::new());
    assert!(told(ask(vec![moved]).0).contains("final address"));
}

#[test]
fn an_interruption_ends_a_pause() {
    let server = server(vec![Does::Say(429, "retry-after: 60\r\n", String::new())]);
    let http = chat(&server.url, &Meter::new(0));
    let progress = http.progress.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        progress.interrupt();
    });
    let begun = Instant::now();
    let error = http.ask(&Question::new("a", "b")).expect_err("stops");
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    stopper.join().expect("ends");
}

#[test]
fn nobody_is_asked_offline_and_a_named_key_must_be_there() {
    let settings = ChatSettings {
        chat_url: Some("http://127.0.0.1:9".to_owned()),
        chat_model: Some("m".to_owned()),
        ..ChatSettings::default()
    };
    let connect = |settings: &ChatSettings, reach| {
        Http::connect(settings, reach, Meter::new(0), &Progress::silent()).map(|_| ())
    };
    let error = connect(&settings, Reach::Offline).expect_err("is refused").to_string();
    assert!(error.contains("127.0.0.1:9") && error.contains("--offline"), "{error}");
    connect(&settings, Reach::Network).expect("nothing is sent yet");
    let absent = "NISSL_TEST_KEY_THAT_NOBODY_SETS".to_owned();
    let keyed = ChatSettings { chat_key_env: absent.clone(), ..settings.clone() };
    let error = connect(&keyed, Reach::Network).expect_err("is refused").to_string();
    assert!(error.contains(&absent) && error.contains("not set"), "{error}");
    // Set by cargo for every test.
    let keyed = ChatSettings { chat_key_env: "CARGO_PKG_NAME".to_owned(), ..settings.clone() };
    connect(&keyed, Reach::Network).expect("is set");
    let nowhere = ChatSettings { chat_url: None, ..settings };
    assert!(connect(&nowhere, Reach::Network).is_err());
    assert!(Key::new("two words").is_err() && Key::new("line\nend").is_err());
}
