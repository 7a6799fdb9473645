//! Templates in the styles of the families, named lists, and hostile ones.

use std::time::{Duration, Instant};

use nissl_core::chat::Role;

use super::*;

fn template(source: &str) -> ChatTemplate {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let tokens = tokens.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    ChatTemplate::new("a/chat_template.jinja", source, tokens).expect("short")
}

fn talk() -> Vec<Message> {
    vec![
        Message::new(Role::System, "Be brief. "),
        Message::new(Role::User, "Which animal?"),
        Message::new(Role::Assistant, "The <dog>."),
        Message::new(Role::User, "Why?"),
    ]
}

#[test]
fn header_style() {
    // Turns with a named head, as Llama 3 has them; a date only where a system message stands.
    let source = r"
{{- bos_token }}
{%- for turn in messages %}
    {{- '<|head|>' ~ turn['role'] ~ '<|/head|>\n\n' ~ turn['content'] | trim ~ '<|turn_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\n\n' }}
{%- endif %}";
    let expected = "<s><|head|>system<|/head|>\n\nBe brief.<|turn_end|>\
        <|head|>user<|/head|>\n\nWhich animal?<|turn_end|>\
        <|head|>assistant<|/head|>\n\nThe <dog>.<|turn_end|>\
        <|head|>user<|/head|>\n\nWhy?<|turn_end|><|head|>assistant<|/head|>\n\n";
    assert_eq!(template(source).render(&talk()).expect("renders"), expected);
}

#[test]
fn block_style() {
    // Blocks on lines of their own, as ChatML has them: newlines after blocks are trimmed.
    let source = "{% for m in messages %}\n  {% if loop.first and m.role != 'system' %}\n\
        <|from|>system\nDefault.<|to|>\n  {% endif %}\n\
        {{ '<|from|>' + m.role + '\\n' + m.content + '<|to|>' }}\n{% endfor %}\n\
        {% if add_generation_prompt %}\n<|from|>assistant\n{% endif %}";
    let text = template(source).render(&talk()).expect("renders");
    assert!(text.starts_with("<|from|>system\nBe brief. <|to|>\n<|from|>user\nWhich"), "{text:?}");
    assert!(text.ends_with("<|from|>user\nWhy?<|to|>\n<|from|>assistant\n"), "{text:?}");
    let text = template(source).render(&talk()[1..2]).expect("renders");
    assert!(text.starts_with("<|from|>system\nDefault.<|to|>\n<|from|>user\n"), "{text:?}");
}

#[test]
fn renamed_roles_and_a_refused_system() {
    // Two roles that must take turns, with the assistant under another name, as Gemma has them.
    let source = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}\
        {{ raise_exception('no system here') }}{% endif %}\
        {% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
        {{ raise_exception('take turns') }}{% endif %}\
        {% set who = 'model' if m['role'] == 'assistant' else m['role'] %}\
        {{ '[' + who + ' ' + m['content'].strip() + ']' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '[model ' }}{% endif %}";
    let text = template(source).render(&talk()[1..]).expect("renders");
    assert_eq!(text, "<s>[user Which animal?][model The <dog>.][user Why?][model ");
    let error = template(source).render(&talk()).expect_err("a system message").to_string();
    assert!(error.contains("no system here") && error.contains("chat_template.jinja"), "{error}");
    let turns = [talk()[1].clone(), talk()[3].clone()];
    assert!(
        template(source).render(&turns).expect_err("two turns").to_string().contains("take turns")
    );
}

#[test]
fn instruction_style() {
    // The system text goes into the last user turn, as in Mistral's; slices and namespaces.
    let source = "{%- if messages[0]['role'] == 'system' -%}{%- set system = messages[0]['content'] -%}\
        {%- set turns = messages[1:] -%}{%- else -%}{%- set turns = messages -%}{%- endif -%}\
        {%- set ns = namespace(count=0) -%}{{- bos_token -}}\
        {%- for m in turns -%}{%- if m['role'] == 'user' -%}{%- set ns.count = ns.count + 1 -%}\
        {%- if loop.last and system is defined -%}{{- '[ASK] ' + system.strip() + '\n\n' + m['content'] + ' [/ASK]' -}}\
        {%- else -%}{{- '[ASK] ' + m['content'] + ' [/ASK]' -}}{%- endif -%}\
        {%- else -%}{% generation %}{{- ' ' + m['content'] + eos_token -}}{% endgeneration %}{%- endif -%}\
        {%- endfor -%}{{- ns.count -}}{%- if tools is not none -%}tools{%- endif -%}";
    let text = template(source).render(&talk()).expect("renders");
    let expected = "<s>[ASK] Which animal? [/ASK] The <dog>.</s>[ASK] Be brief.\n\nWhy? [/ASK]2";
    assert_eq!(text, expected);
}

#[test]
fn json_reads_as_python_writes_it() {
    let source = "{{ messages[0] | tojson }} {{ [1, 'é<'] | tojson(indent=2) }}";
    let text = template(source).render(&talk()).expect("renders");
    assert!(
        text.contains("\"content\": \"Be brief. \", \"role\"")
            || text.contains("\"role\": \"system\", "),
        "{text}"
    );
    assert!(text.ends_with("[\n  1,\n  \"é<\"\n]"), "{text}");
}

#[test]
fn the_date_is_todays() {
    let text = template("{{ strftime_now('%Y') }}").render(&[]).expect("renders");
    assert!(text.parse::<u32>().is_ok_and(|year| year > 2000), "{text}");
    assert!(template("{{ strftime_now('%') }}").render(&[]).is_err());
}

#[test]
fn hostile_templates_are_stopped() {
    let began = Instant::now();
    let hostile = [
        // Loops in loops, doubled texts, long repeats, deep calls, wide formats, long lists. (Doubled
        // lists end by the clock, and their thread would burden the other tests.)
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{{ 'x' * 999999999999 }}",
        "{{ 'x' * 50000000 }}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ range(999999999999) | list }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xxxxxxxxxx') %}{% endfor %}",
        "{% for i in range(90000) %}{{ 'long line of text ' * 9 }}{% endfor %}",
        "{% include 'other' %}",
        "{{ messages.__class__.mro() }}",
        "{{ unknown.part }}",
        "{% if %}",
    ];
    for source in hostile {
        let error = template(source).render(&talk()).expect_err(source).to_string();
        assert!(error.contains("chat_template"), "{source}: {error}");
    }
    let nested = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(template(&format!("{{{{ {nested} }}}}")).render(&[]).is_err());
    assert!(ChatTemplate::new("t", "x".repeat(LONGEST + 1), BTreeMap::new()).is_err());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        nissl_core::store::write_bytes(&path, content.as_bytes()).expect("writes");
    }
    folder
}

#[test]
fn the_template_is_found_wherever_checkpoints_keep_it() {
    let read = |files: &[(&str, &str)]| ChatTemplate::read(folder(files).path());
    let text = |files: &[(&str, &str)]| {
        let found = read(files).expect("reads").expect("a template");
        found.render(&[]).expect("renders")
    };
    assert_eq!(read(&[]).expect("reads"), None);
    assert_eq!(
        read(&[("tokenizer_config.json", "{\"chat_template\": null}")]).expect("reads"),
        None
    );
    let one = (
        "tokenizer_config.json",
        r#"{"chat_template": "a{{ bos_token }}", "bos_token": {"content": "B"}}"#,
    );
    assert_eq!(text(&[one]), "aB");
    let named = r#"{"chat_template": [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    assert_eq!(text(&[("tokenizer_config.json", named)]), "d");
    let json = ("chat_template.json", r#"{"chat_template": "j{{ eos_token }}"}"#);
    let map = ("special_tokens_map.json", r#"{"eos_token": "E"}"#);
    assert_eq!(text(&[one, json, map]), "jE");
    assert_eq!(text(&[one, json, ("chat_template.jinja", "f{{ bos_token }}")]), "fB");
    let several = r#"{"chat_template": [{"name": "rag", "template": "t"}, {"name": "tool", "template": "d"}]}"#;
    let error = read(&[("tokenizer_config.json", several)]).expect_err("no default").to_string();
    assert!(error.contains("rag") && error.contains("default"), "{error}");
    assert!(read(&[("tokenizer_config.json", "{")]).is_err());
    assert!(read(&[("tokenizer_config.json", "{\"chat_template\": 3}")]).is_err());
}
