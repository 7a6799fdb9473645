//! Descriptions by scripted language models and by rule, of features whose meaning is planted.

use std::fmt::Write as _;

use std::sync::{Arc, Mutex};

use nissl_core::chat::Question;
use nissl_core::features::{Annotation, Dictionary, Encoding, Features};
use nissl_core::{Progress, Recording};
use nissl_explain::describe::{
    Describe, Described, Side, Sign, Sources, ask, by_rule, contexts, questions, read, write,
};
use nissl_judge::{ChatSettings, Client, Scripted};

use super::*;

fn client(
    settings: &ChatSettings,
    answer: impl Fn(&Question) -> Option<String> + Send + Sync + 'static,
) -> Client {
    Client::new(Scripted::function("tiny", answer), settings).expect("a client")
}

fn sources<'a>(
    features: &'a Features,
    recording: &'a Recording,
    chosen: &'a [usize],
) -> Sources<'a> {
    Sources { features, recording: Some(recording), network: None, chosen }
}

/// The toy's own features, written beside a recording of its activity.
fn toy_features(folder: &Path, network: &Toy) -> (Features, Recording) {
    let mut rng = rng(5, 0);
    let words: Vec<usize> = (0..40 * LENGTH).map(|_| rng.random_range(0..WORDS)).collect();
    let decoder = Array2::from_shape_fn((WORDS, UNITS), |(f, u)| network.directions[f][u]);
    let activity = Array2::from_shape_fn((words.len(), UNITS), |(sample, unit)| {
        4.0 * network.directions[words[sample]][unit]
    });
    let codes = Array2::from_shape_fn((words.len(), WORDS), |(sample, feature)| {
        if words[sample] == feature { 4.0 } else { 0.0 }
    });
    let tokens: Vec<String> = words.iter().map(|word| format!(" w{word}")).collect();
    let dictionary = Dictionary::new(decoder, Encoding::Projection);
    stored(folder, &tokens, &activity, dictionary, &codes)
}

#[test]
fn the_question_holds_exactly_the_strongest_triples() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, features, recording) = planted(folder.path(), 1, 40);
    let chosen = [DAY, NUMBER, DEAD];
    let settings = Describe::default();
    let all = questions(sources(&features, &recording, &chosen), &settings, &Progress::silent())
        .expect("asks");
    let about: Vec<(u32, Side, Sign)> =
        all.iter().map(|asked| (asked.feature, asked.side, asked.sign)).collect();
    // Nothing is asked about the feature that is never active.
    let plus = |feature: usize| (feature as u32, Side::Input, Sign::Plus);
    assert_eq!(about, [plus(DAY), plus(NUMBER)]);
    for (asked, feature) in all.iter().zip([DAY, NUMBER]) {
        let column = text.activations.column(feature);
        let mut order: Vec<usize> = (0..column.len()).collect();
        order.sort_by(|a, b| column[*b].total_cmp(&column[*a]).then_with(|| a.cmp(b)));
        let mut expected = String::new();
        for (place, &sample) in order.iter().take(10).enumerate() {
            let token = text.tokens[sample].trim();
            let start = sample / LENGTH * LENGTH;
            let window = sample.saturating_sub(15).max(start)..(sample + 16).min(start + LENGTH);
            let words: String = window
                .map(|at| {
                    let word = &text.tokens[at];
                    if at == sample { format!(" <<{token}>>") } else { word.clone() }
                })
                .collect();
            let coefficient = nissl_core::progress::significant(f64::from(column[sample]));
            let _never_fails = writeln!(
                expected,
                "{}. token {token:?}, coefficient {coefficient}\n   {}",
                place + 1,
                words.trim()
            );
        }
        assert_eq!(asked.question.messages[1].content, expected);
    }
}

#[test]
fn a_feature_is_described_by_what_its_tokens_share_or_as_trash() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, features, recording) = planted(folder.path(), 2, 40);
    let chosen = [DAY, NUMBER, FIRST_NOISE];
    let asked = questions(
        sources(&features, &recording, &chosen),
        &Describe::default(),
        &Progress::silent(),
    )
    .expect("asks");
    // Reads the tokens of the question, as a language model would.
    let link = |question: &Question| {
        let user = question.messages[1].content.clone();
        let tokens: Vec<&str> = user.lines().filter_map(|line| line.split('"').nth(1)).collect();
        let all = |holds: fn(&str) -> bool| tokens.iter().all(|token| holds(token));
        Some(if all(|token| token.ends_with("day")) {
            "They are days.\nLink: days of the week".to_owned()
        } else if all(|token| token.parse::<u32>().is_ok()) {
            String::new()
        } else {
            "Link: TRASH".to_owned()
        })
    };
    let client = client(&ChatSettings::default(), link);
    let found = ask(&asked, &client, &Progress::silent()).expect("answers");
    assert_eq!(found.missing, 1, "an empty answer is missing, and not made up");
    write(&features, &found.descriptions).expect("writes");
    let back = read(&features).expect("reads");
    let texts: Vec<(u32, Option<&str>)> =
        back.iter().map(|one| (one.feature, one.text.as_deref())).collect();
    assert_eq!(texts, [(DAY as u32, Some("days of the week")), (FIRST_NOISE as u32, None)]);
    assert!(back[0].source.starts_with("tiny, question "), "{}", back[0].source);
    assert_ne!(back[0].source, back[1].source, "each question has its own hash");
    let table = features.annotation(Annotation::Explanations).expect("reads").expect("is there");
    assert_eq!(table.texts("method").expect("methods"), ["input", "input"]);
    assert_eq!(table.texts("text").expect("texts")[1], "TRASH");

    // Names by rule and descriptions stand beside each other, and a second run replaces the first.
    let settings = Explain::default();
    all(&features, &recording, None, &settings, &Progress::silent()).expect("explains");
    let day = [DAY];
    let again =
        by_rule(sources(&features, &recording, &day), &Describe::default(), &Progress::silent())
            .expect("describes");
    write(&features, &again.descriptions).expect("writes");
    let back = read(&features).expect("reads");
    assert_eq!(back.len(), 2);
    assert!(back[0].source.contains("by rule") && back[0].text.is_some(), "{:?}", back[0]);
    let table = features.annotation(Annotation::Explanations).expect("reads").expect("is there");
    assert_eq!(table.rows(), FIRST_NOISE + NOISE + 2);
}

#[test]
fn rules_describe_what_is_planted_and_nothing_else() {
    let mut noise_described = 0;
    for seed in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, features, recording) = planted(folder.path(), seed, 100);
        let chosen: Vec<usize> = (0..FIRST_NOISE + NOISE).collect();
        let sources = sources(&features, &recording, &chosen);
        let found = by_rule(sources, &Describe::default(), &Progress::silent()).expect("describes");
        let text = |feature: usize| {
            let one = found.descriptions.iter().find(|one| one.feature == feature as u32);
            one.and_then(|one| one.text.clone()).unwrap_or_default()
        };
        assert!(text(DAY).contains("monday"), "{}", text(DAY));
        assert_eq!(text(AFTER_THE), "after the");
        assert_eq!(text(NUMBER), "numbers");
        assert!(found.descriptions.iter().all(|one| one.feature != DEAD as u32));
        noise_described +=
            (FIRST_NOISE..FIRST_NOISE + NOISE).filter(|f| !text(*f).is_empty()).count();
    }
    assert_eq!(noise_described, 0);
}

#[test]
fn both_signs_of_the_output_side_are_asked_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = Toy::new(0, ReadOut::Linear);
    let (features, _) = toy_features(folder.path(), &network);
    let chosen = [3, 9];
    let sources =
        Sources { features: &features, recording: None, network: Some(&network), chosen: &chosen };
    let settings = Describe { tokens: 4, candidates: 8, ..Describe::default() };
    let asked = questions(sources, &settings, &Progress::silent()).expect("asks");
    let about: Vec<_> = asked.iter().map(|asked| (asked.feature, asked.side, asked.sign)).collect();
    let output = |feature, sign| (feature, Side::Output, sign);
    let expected = [
        output(3, Sign::Plus),
        output(3, Sign::Minus),
        output(9, Sign::Plus),
        output(9, Sign::Minus),
    ];
    assert_eq!(about, expected);
    for (asked, next) in [(&asked[0], 4), (&asked[2], 10)] {
        let user = &asked.question.messages[1].content;
        // The toy has no tokenizer, so tokens are shown by number.
        let planted = format!("#{next}");
        assert!(user.starts_with(&format!("1. {planted:?}\n")), "{user} {planted}");
        assert_eq!(user.lines().count(), 4);
    }
    for asked in [&asked[1], &asked[3]] {
        let next = format!("#{}", asked.feature + 1);
        let user = &asked.question.messages[1].content;
        assert!(!user.contains(&format!("{next:?}")), "the pushed word is not held back: {user}");
    }
    let outside = [WORDS];
    let error = questions(Sources { chosen: &outside, ..sources }, &settings, &Progress::silent());
    assert!(error.expect_err("is refused").to_string().contains("`features`"));
}

#[test]
fn a_second_run_replays_the_first_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, features, recording) = planted(folder.path(), 4, 40);
    let chosen: Vec<usize> = (0..FIRST_NOISE + NOISE).collect();
    let asked = questions(
        sources(&features, &recording, &chosen),
        &Describe::default(),
        &Progress::silent(),
    )
    .expect("asks");
    let settings =
        ChatSettings { chat_cache: Some(folder.path().join("answers")), ..ChatSettings::default() };
    let run = |client: &Client| -> Described {
        ask(&asked, client, &Progress::silent()).expect("answers")
    };
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let first = run(&client(&settings, move |question| {
        *counted.lock().ok()? += 1;
        Some(format!("Link: {} letters", question.messages[1].content.len()))
    }));
    assert_eq!(*count.lock().expect("a count"), asked.len());
    let second = run(&client(&settings, |_| None));
    let bytes =
        |described: &Described| serde_json::to_vec(&described.descriptions).expect("writes");
    assert_eq!(bytes(&first), bytes(&second));
    let only = ChatSettings { chat_replay: true, chat_model: Some("tiny".to_owned()), ..settings };
    let offline = nissl_judge::Reach::Offline;
    let replay = Client::connect(&only, offline, &Progress::silent()).expect("opens");
    assert_eq!(bytes(&run(&replay)), bytes(&first));
    assert_eq!(replay.estimate(&[asked[0].question.clone()]).cached, 1);
}

#[test]
fn contexts_hold_the_feature_or_are_silent_and_were_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, features, recording) = planted(folder.path(), 6, 60);
    let chosen = [DAY, DEAD];
    let settings = Describe::default();
    let sources = sources(&features, &recording, &chosen);
    let found = contexts(sources, &settings, (5, 0), &Progress::silent()).expect("finds");
    let day = |text: &String| text.contains("day");
    assert_eq!((found[0].activating.len(), found[0].neutral.len()), (5, 5));
    assert!(found[0].activating.iter().all(day), "{:?}", found[0].activating);
    assert!(!found[0].neutral.iter().any(day), "{:?}", found[0].neutral);
    assert_eq!((found[1].activating.len(), found[1].neutral.len()), (0, 5));
    // The examples that were shown stand in none of them.
    let asked = questions(sources, &settings, &Progress::silent()).expect("asks");
    let shown = &asked[0].question.messages[1].content;
    for text in &found[0].activating {
        let core: Vec<&str> = text.split_whitespace().collect();
        let around: Vec<String> = shown
            .lines()
            .filter(|line| line.contains("<<"))
            .map(|line| line.replace("<<", "").replace(">>", ""))
            .collect();
        let place = core.iter().position(|word| word.ends_with("day")).expect("a day");
        let three = core[place.saturating_sub(1)..(place + 2).min(core.len())].join(" ");
        assert!(!around.iter().any(|line| line.contains(&three)), "{three} was shown");
    }
    let same = contexts(sources, &settings, (5, 0), &Progress::silent()).expect("finds");
    assert_eq!(same, found);
    let other = contexts(sources, &settings, (5, 1), &Progress::silent()).expect("finds");
    assert_eq!(other[0].activating, found[0].activating);
    assert_ne!(other[0].neutral, found[0].neutral);
    let nowhere = Sources { recording: None, ..sources };
    assert!(contexts(nowhere, &settings, (5, 0), &Progress::silent()).is_err());
}
