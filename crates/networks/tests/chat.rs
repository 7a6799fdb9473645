//! A network on this machine answers messages through its template.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::fixture;
use nissl_core::chat::{Chat, Message, Question, Role};
use nissl_core::network::{LanguageNetwork, Sampling};
use nissl_core::store::write_bytes;
use nissl_core::taps::{Change, Edit, Taps};
use nissl_networks::language::{Language, LocalChat, chat_tokens, generate};

/// A copy of a fixture with a chat template.
fn copy(family: &str, template: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(fixture(family)).expect("the fixture") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        std::fs::copy(&path, folder.path().join(name)).expect("copies");
    }
    write_bytes(&folder.path().join("chat_template.jinja"), template.as_bytes()).expect("writes");
    folder
}

fn load(folder: &Path) -> Language {
    Language::load(folder, "local", &Device::flex()).expect("loads")
}

const PLAIN: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";

fn question(tokens: usize, temperature: f32, seed: u64) -> Question {
    Question { tokens, temperature, seed, ..Question::new("the cat", "sat on a mat") }
}

#[test]
fn an_answer_is_the_networks_own_continuation_of_the_prompt() {
    let folder = copy("gpt2", PLAIN);
    let network = load(folder.path());
    let chat = LocalChat::new(&network).expect("a template");
    let answer = chat.ask(&question(6, 0.0, 0)).expect("answers");
    let tokenizer = network.tokenizer().expect("a tokenizer");
    let messages = question(6, 0.0, 0).messages;
    let prompt = tokenizer.chat_prompt(&messages).expect("renders");
    assert_eq!(prompt, "system: the cat\nuser: sat on a mat\nassistant:");
    let tokens = chat_tokens(tokenizer, &messages).expect("encodes");
    let sampling = Sampling { tokens: 6, temperature: 0.0, ..Sampling::default() };
    let written = generate(&network, &tokens, &sampling, &mut Taps::none()).expect("writes");
    let ends = tokenizer.answer_ends();
    let kept: Vec<u32> =
        written.tokens.into_iter().take_while(|token| !ends.contains(token)).collect();
    assert_eq!(answer, tokenizer.decode(&kept).expect("decodes").trim());

    // The seed makes the answer, and edits change it.
    let ask = |seed| chat.ask(&question(12, 2.0, seed)).expect("answers");
    assert_eq!(ask(1), ask(1));
    assert!((2..6).any(|seed| ask(seed) != ask(1)));
    let edit = Edit::new("layers.0.mlp.act".parse().expect("a site"), Change::Set(9.0));
    let edited = LocalChat::new(&network).expect("a template").with_edits(vec![edit]);
    assert!((0..4).any(|seed| edited.ask(&question(12, 2.0, seed)).expect("answers") != ask(seed)));
}

#[test]
fn a_refused_system_message_goes_before_the_users() {
    let refuses = format!(
        "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('none') }}}}{{% endif %}}{PLAIN}"
    );
    let folder = copy("gpt2", &refuses);
    let network = load(folder.path());
    let tokenizer = network.tokenizer().expect("a tokenizer");
    let messages = question(1, 0.0, 0).messages;
    let folded = [Message::new(Role::User, "the cat\n\nsat on a mat")];
    assert!(tokenizer.chat_prompt(&messages).is_err());
    let tokens = chat_tokens(tokenizer, &messages).expect("encodes");
    assert_eq!(tokens, chat_tokens(tokenizer, &folded).expect("encodes"));
    // Without a user to take it, the refusal stands.
    assert!(chat_tokens(tokenizer, &messages[..1]).is_err());
}

#[test]
fn an_answer_ends_at_any_of_the_end_tokens() {
    let folder = copy("gpt2", PLAIN);
    let free = load(folder.path());
    let chat = LocalChat::new(&free).expect("a template");
    let tokens = chat_tokens(free.tokenizer().expect("a tokenizer"), &question(1, 0.0, 0).messages);
    let sampling = Sampling { tokens: 5, temperature: 0.0, ..Sampling::default() };
    let written = generate(&free, &tokens.expect("encodes"), &sampling, &mut Taps::none());
    let first = written.expect("writes").tokens[0];
    assert_ne!(chat.ask(&question(5, 0.0, 0)).expect("answers"), "");

    let ends = format!("{{\"eos_token_id\": [4, {first}]}}");
    write_bytes(&folder.path().join("generation_config.json"), ends.as_bytes()).expect("writes");
    let network = load(folder.path());
    assert!(network.tokenizer().expect("a tokenizer").answer_ends().contains(&first));
    let chat = LocalChat::new(&network).expect("a template");
    assert_eq!(chat.ask(&question(5, 0.0, 0)).expect("answers"), "");
}

#[test]
fn what_cannot_converse_is_told() {
    let network = load(&fixture("gpt2"));
    let error = LocalChat::new(&network).err().expect("no template").to_string();
    assert!(error.contains("chat_template") && error.contains("absent"), "{error}");
    let folder = copy("gpt2", PLAIN);
    let network = load(folder.path());
    let chat = LocalChat::new(&network).expect("a template");
    let long = Question::new("", "the cat sat ".repeat(200));
    let error = chat.ask(&long).expect_err("beyond the context").to_string();
    assert!(error.contains("messages") && error.contains("context"), "{error}");
}
