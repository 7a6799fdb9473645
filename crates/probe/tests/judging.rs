//! Steering judged by a language model, here a script.

mod toy;

use std::sync::{Arc, Mutex};

use nissl_core::chat::Question;
use nissl_core::network::{TokenSpan, Tokenizer};
use nissl_core::{Error, Progress, Result, Site};
use nissl_judge::{ChatSettings, Client, Scripted};
use nissl_probe::steer::{Aim, ChatJudge, RuleJudge, Steer, Steered, Summary, steer_judged};
use nissl_probe::strength::{Sign, StrengthMatch};
use toy::{ReadOut, SITE, Toy, WORDS};

/// Words are numbers with a letter before them.
struct Numbered;

impl Tokenizer for Numbered {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        Err(Error::setting("text", text, "no text: nothing is encoded here"))
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        Ok(tokens.iter().map(|token| format!("w{token}")).collect::<Vec<_>>().join(" "))
    }

    fn token(&self, id: u32) -> Option<String> {
        Some(format!("w{id}"))
    }

    fn size(&self) -> usize {
        WORDS
    }

    fn end(&self) -> Option<u32> {
        None
    }
}

fn settings() -> Steer {
    Steer {
        strength: StrengthMatch { targets: vec![0.1, 0.5], ..StrengthMatch::default() },
        samples: 6,
        top_p: 1.0,
        tokens: 12,
        controls: 1,
        ..Steer::default()
    }
}

/// Steers with a judge that answers by a function of its question; what it was asked comes with it.
fn run(
    answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> (Result<Steered>, Vec<Question>) {
    let network = Toy::new(1, ReadOut::Linear);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let script = Scripted::function("script", move |question| {
        kept.lock().expect("not poisoned").push(question.clone());
        answer(&question.messages[1].content)
    });
    let client = Client::new(script, &ChatSettings::default()).expect("a client");
    let (tokenizer, progress) = (Numbered, Progress::silent());
    let concept = "the sixth word";
    let judge = ChatJudge { client: &client, tokenizer: &tokenizer, concept, progress: &progress };
    let site = Site::new(SITE);
    let aim = Aim { site: &site, direction: &network.directions[5] };
    let found = steer_judged(&network, &[20], aim, &judge, &settings(), &progress);
    let asked = asked.lock().expect("not poisoned").clone();
    (found, asked)
}

fn is_about_concept(user: &str) -> bool {
    user.contains("the sixth word")
}

fn graded(user: &str) -> String {
    let hits = user.split_whitespace().filter(|word| *word == "w6").count();
    if is_about_concept(user) { hits.min(2).to_string() } else { "2".to_owned() }
}

#[test]
fn a_language_model_is_asked_twice_for_each_text() {
    let (found, asked) = run(|user| Some(graded(user)));
    let found = found.expect("runs");
    assert_eq!(found.judge, "script");
    // Both signs and divergences of the direction and of one control, and the plain texts.
    let reached = found.curve.iter().chain(&found.controls[0]).filter(|p| p.strength.is_some());
    assert_eq!(asked.len(), 2 * 6 * (reached.count() + 1));
    assert!(
        asked.iter().all(|question| question.temperature == 0.0),
        "the answer is the likeliest"
    );
    let about = asked.iter().filter(|question| is_about_concept(&question.messages[1].content));
    assert_eq!(about.count(), asked.len() / 2);
    // A judge sees the prompt and what was written.
    assert!(asked.iter().all(|question| question.messages[1].content.contains("w20 w")));
    let best = &found.curve[found.best.expect("judged")];
    assert_eq!(best.sign, Sign::Plus);
    assert!(best.concept > found.plain_concept);
    assert!((best.fluency - 2.0).abs() < 1e-12);
    assert_eq!(found.missing(), 0);
    // The score is the mean of the texts' harmonic means, from the texts themselves.
    let by_hand: f64 = best
        .texts
        .iter()
        .map(|text| match text.iter().filter(|&&token| token == 6).count() {
            0 => 0.0,
            1 => 4.0 / 3.0,
            _ => 2.0,
        })
        .sum();
    assert!((best.score - by_hand / 6.0).abs() < 1e-12, "{best:?}");
}

#[test]
fn answers_that_say_nothing_are_missing_and_never_zero() {
    let (whole, _) = run(|user| Some(graded(user)));
    let whole = whole.expect("runs");
    // Where word 6 is absent the model evades: what is left must score higher, not lower.
    let (found, _) = run(|user| {
        let grade = graded(user);
        Some(if grade == "0" { "hard to say, 1 or 2".to_owned() } else { grade })
    });
    let found = found.expect("runs");
    assert!(found.missing() > 0);
    for (found, whole) in found.curve.iter().zip(&whole.curve) {
        assert_eq!(found.texts, whole.texts);
        let absent = whole.texts.iter().filter(|text| !text.contains(&6)).count();
        assert_eq!(found.missing, absent);
        if absent < whole.texts.len() {
            assert!(found.score >= whole.score && found.concept >= 1.0, "{found:?}");
        } else {
            assert!(found.score.is_nan());
        }
    }
    let (silent, _) = run(|_| Some("I would rather not".to_owned()));
    let silent = silent.expect("runs");
    assert_eq!(silent.best, None);
    assert!(silent.plain_concept.is_nan() && silent.curve[0].score.is_nan());
    assert_eq!(silent.missing(), 6 * silent.curve.iter().filter(|p| p.strength.is_some()).count());
    let (failed, _) = run(|_| None);
    assert!(failed.is_err(), "a judge that cannot be asked is an error");
}

#[test]
fn features_are_summed_up_by_their_maxima_and_by_the_mean_curve() {
    let network = Toy::new(1, ReadOut::Linear);
    let site = Site::new(SITE);
    let hits = |text: &[u32]| text.iter().filter(|&&token| token == 6).count();
    let judge = RuleJudge { hits: &hits };
    let all: Vec<Steered> = [5, 9, 20]
        .map(|feature| {
            let aim = Aim { site: &site, direction: &network.directions[feature] };
            steer_judged(&network, &[20], aim, &judge, &settings(), &Progress::silent())
                .expect("runs")
        })
        .into();
    let summary = Summary::of(&all);
    let best: Vec<f64> = all.iter().map(Steered::score).collect();
    let mean = best.iter().sum::<f64>() / 3.0;
    assert!((summary.mean - mean).abs() < 1e-12 && summary.features == 3);
    let variance = best.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / 2.0;
    assert!((summary.deviation - variance.sqrt()).abs() < 1e-12);
    let peak = summary.best().expect("judged");
    assert!(peak.mean <= summary.mean + 1e-12, "a maximum of means is below a mean of maxima");
    let first: Vec<f64> =
        all.iter().map(|one| one.curve[0].score).filter(|score| score.is_finite()).collect();
    assert_eq!(summary.curve[0].reached, first.len());
    assert!((summary.curve[0].mean - first.iter().sum::<f64>() / first.len() as f64).abs() < 1e-12);
    assert!(Summary::of(&[]).mean.is_nan());
}
