//! Descriptions of features in words: what switches them on, and what they push towards.
//!
//! Input side: the strongest (token, context, coefficient) triples of a feature, of which one link is
//! asked for, among the tokens first and among their contexts only where the tokens share nothing.
//! Output side: the tokens that the direction `f` (and `−f`) raises most, by the logit lens. A feature
//! without a link is described by the word `TRASH`. Without a language model the same is said by rule.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, descriptions; the words are our own.
//! Memory: the questions, some 4 kB for each described feature, and what the logit lens needs.

mod answer;
mod contexts;
mod prompts;
mod rules;
mod store;

use ndarray::Axis;
use nissl_core::chat::Question;
use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Progress, Recording, Result};
use nissl_judge::{Client, question_key};
use serde::{Deserialize, Serialize};

use self::answer::Said;
pub use self::contexts::contexts;
use self::prompts::readable;
pub use self::prompts::{input_question, output_question};
pub use self::rules::VocabularyForms;
pub use self::store::{read, write};
use crate::examples::{Example, Examples, for_each};
use crate::logit_lens::{Effects, LogitLens, Pushed, applies, logit_lens};
use crate::name::Background;
pub use crate::sign::Sign;

/// The answer that says that nothing links what was shown.
pub const NO_LINK: &str = "TRASH";

/// Hyperparameters of descriptions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Describe {
    /// Strongest examples shown of each feature, 1 to 100
    #[arg(long, default_value_t = Describe::default().shown)]
    pub shown: usize,
    /// Tokens of context shown before and after each, at most 100
    #[arg(long, default_value_t = Describe::default().window)]
    pub window: usize,
    /// Pushed tokens shown for each sign, 1 to `candidates`
    #[arg(long, default_value_t = Describe::default().tokens)]
    pub tokens: usize,
    /// Tokens of greatest logit among which those that are words are looked for, at most 1000
    #[arg(long, default_value_t = Describe::default().candidates)]
    pub candidates: usize,
    /// Tokens of an answer at most, 8 or more
    #[arg(long, default_value_t = Describe::default().answer_tokens)]
    pub answer_tokens: usize,
}

impl Default for Describe {
    fn default() -> Self {
        Self { shown: 10, window: 15, tokens: 25, candidates: 75, answer_tokens: 512 }
    }
}

impl Describe {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        let &Self { shown, window, tokens, candidates, answer_tokens } = self;
        if !(1..=100).contains(&shown) {
            return Err(Error::setting("shown", shown, "1 to 100"));
        }
        if window > 100 {
            return Err(Error::setting("window", window, "at most 100"));
        }
        if !(1..=1000).contains(&candidates) {
            return Err(Error::setting("candidates", candidates, "1 to 1000"));
        }
        if !(1..=candidates).contains(&tokens) {
            return Err(Error::setting(
                "tokens",
                tokens,
                format!("1 to {candidates}, `candidates`"),
            ));
        }
        if answer_tokens < 8 {
            return Err(Error::setting("answer_tokens", answer_tokens, "8 or more"));
        }
        Ok(())
    }
}

/// What a description is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What switches the feature on.
    Input,
    /// What it pushes the next token towards.
    Output,
}

impl Side {
    /// Its name in the column `method` of `explanations.parquet`.
    pub fn method(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// The side that describes features of `layer` (of `layers`, counted from 0) better: what switches
/// them on in the first half of a network, what they push towards in the second.
pub fn preferred(layer: usize, layers: usize) -> Side {
    if 2 * layer < layers { Side::Input } else { Side::Output }
}

/// A feature in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its number.
    pub feature: u32,
    /// What is described.
    pub side: Side,
    /// Of which direction; the input side knows only `+`.
    pub sign: Sign,
    /// The description; `None` where nothing links what was seen.
    pub text: Option<String>,
    /// Who said so: the model and the beginning of the hash of its question, or by rule.
    pub source: String,
    /// How far a rule covers what it was not drawn from, 0 to 1; NaN for a language model.
    pub score: f64,
}

/// What came of asking or looking.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// By feature, the input side first.
    pub descriptions: Vec<Description>,
    /// Questions whose answer said nothing; they have no description.
    pub missing: usize,
}

/// What descriptions are made from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The features.
    pub features: &'a Features,
    /// Where they were found, for the input side.
    pub recording: Option<&'a Recording>,
    /// What was recorded, for the output side.
    pub network: Option<&'a dyn LanguageNetwork>,
    /// The features to describe, ascending.
    pub chosen: &'a [usize],
}

/// A question about a feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The feature's number.
    pub feature: u32,
    /// What is asked about.
    pub side: Side,
    /// Along it or against it.
    pub sign: Sign,
    /// The question.
    pub question: Question,
}

/// The questions about every chosen feature, by feature, the input side first. Features that are
/// never active, and directions of length 0, are not asked about.
///
/// # Errors
/// A setting outside its range, a feature that is not there, or a file that cannot be read.
pub fn questions(
    sources: Sources<'_>,
    settings: &Describe,
    progress: &Progress,
) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    inputs(sources, settings, progress, |feature, examples| {
        let strongest: Vec<&Example> = strongest(&examples, settings.shown);
        if !strongest.is_empty() {
            let question = input_question(&strongest, settings.answer_tokens);
            asked.push(Asked { feature, side: Side::Input, sign: Sign::Plus, question });
        }
        Ok(())
    })?;
    outputs(sources, settings, progress, |feature, sign, _, tokens| {
        if !tokens.is_empty() {
            let question = output_question(&tokens, settings.answer_tokens);
            asked.push(Asked { feature, side: Side::Output, sign, question });
        }
    })?;
    asked.sort_by_key(|asked| (asked.feature, asked.side, asked.sign));
    Ok(asked)
}

/// Asks, and takes each answer for a description; one that says nothing is missing.
///
/// # Errors
/// As [`Client::ask_all`].
pub fn ask(asked: &[Asked], client: &Client, progress: &Progress) -> Result<Described> {
    use nissl_core::chat::Chat;
    let all: Vec<Question> = asked.iter().map(|asked| asked.question.clone()).collect();
    let answers = client.ask_all(&all, progress)?;
    let mut described = Described::default();
    for (asked, answer) in asked.iter().zip(answers) {
        let text = match Said::of(&answer) {
            Said::Link(text) => Some(text),
            Said::NoLink => None,
            Said::Nothing => {
                described.missing += 1;
                continue;
            }
        };
        let key = question_key(client.id(), &asked.question);
        described.descriptions.push(Description {
            feature: asked.feature,
            side: asked.side,
            sign: asked.sign,
            text,
            source: format!("{}, question {}", client.id(), &key[..KEY_SHOWN]),
            score: f64::NAN,
        });
    }
    Ok(described)
}

/// Digits of a question's hash that are kept; the cache of answers begins its keys with them.
const KEY_SHOWN: usize = 12;

/// The descriptions by rule: the pattern of the examples, and what the pushed tokens share.
///
/// # Errors
/// As [`questions`].
pub fn by_rule(
    sources: Sources<'_>,
    settings: &Describe,
    progress: &Progress,
) -> Result<Described> {
    let mut descriptions = Vec::new();
    let describe = |feature, side, sign, found: Option<(String, f64)>| {
        let score = found.as_ref().map_or(0.0, |(_, score)| *score);
        let text = found.map(|(text, _)| text);
        Description { feature, side, sign, text, source: rules::SOURCE.to_owned(), score }
    };
    if let Some(recording) = sources.recording {
        let background = Background::of(recording)?;
        inputs(sources, settings, progress, |feature, examples| {
            if !examples.is_empty() {
                let found = rules::input(&examples, &background);
                descriptions.push(describe(feature, Side::Input, Sign::Plus, found));
            }
            Ok(())
        })?;
    }
    if let Some(network) = sources.network {
        let forms = VocabularyForms::of(network);
        outputs(sources, settings, progress, |feature, sign, pushed, tokens| {
            if !tokens.is_empty() {
                let found = forms.describe(&pushed, &tokens);
                descriptions.push(describe(feature, Side::Output, sign, found));
            }
        })?;
    }
    descriptions.sort_by_key(|one| (one.feature, one.side, one.sign));
    Ok(Described { descriptions, missing: 0 })
}

fn strongest(examples: &[Example], count: usize) -> Vec<&Example> {
    examples.iter().filter(|example| example.quantile == 0).take(count).collect()
}

/// Hands the examples of each chosen feature to `each`.
fn inputs(
    sources: Sources<'_>,
    settings: &Describe,
    progress: &Progress,
    mut each: impl FnMut(u32, Vec<Example>) -> Result<()>,
) -> Result<()> {
    settings.validate()?;
    sources.check()?;
    let Some(recording) = sources.recording else { return Ok(()) };
    let default = Examples::default();
    let strongest = default.strongest.max(settings.shown);
    let examples = Examples { strongest, window: settings.window, ..default };
    for_each(sources.features, recording, &examples, progress, |feature, examples| {
        if sources.chosen.binary_search(&feature).is_ok() {
            each(feature as u32, examples)?;
        }
        Ok(())
    })
}

/// Hands each sign's pushed tokens to `each`: with their logits, and as the words that are shown.
fn outputs(
    sources: Sources<'_>,
    settings: &Describe,
    progress: &Progress,
    mut each: impl FnMut(u32, Sign, Pushed, Vec<String>),
) -> Result<()> {
    settings.validate()?;
    sources.check()?;
    let Some(network) = sources.network else { return Ok(()) };
    let tokenizer = network.tokenizer().ok();
    let token = |id: u32| {
        let known = tokenizer.and_then(|tokenizer| tokenizer.token(id));
        known.unwrap_or_else(|| format!("#{id}"))
    };
    let table = sources.features.output_unit_table();
    let written = sources.features.dictionary().written().select(Axis(0), sources.chosen);
    let lens = LogitLens { tokens: settings.candidates, ..LogitLens::default() };
    let effects = logit_lens(network, written.view(), table, &lens, progress)?;
    for (&feature, Effects { plus, minus }) in sources.chosen.iter().zip(effects) {
        for (sign, pushed) in [(Sign::Plus, plus), (Sign::Minus, minus)] {
            let words = pushed.tokens.iter().map(|&(id, _)| token(id));
            let kept = readable(words, settings.tokens);
            each(feature as u32, sign, pushed, kept);
        }
    }
    Ok(())
}

impl Sources<'_> {
    fn check(&self) -> Result<()> {
        let features = self.features.features();
        if let Some(&outside) = self.chosen.iter().find(|&&feature| feature >= features) {
            return Err(Error::setting("features", outside, format!("0 to {}", features - 1)));
        }
        Ok(())
    }

    /// The same without a network whose head or sites say nothing about pushed tokens.
    #[must_use]
    pub fn where_lens_applies(self) -> Self {
        let table = self.features.output_unit_table();
        Self { network: self.network.filter(|network| applies(*network, table)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shallow_layers_prefer_the_input_side() {
        let sides: Vec<Side> = (0..5).map(|layer| preferred(layer, 5)).collect();
        assert_eq!(sides, [Side::Input, Side::Input, Side::Input, Side::Output, Side::Output]);
        assert_eq!((preferred(0, 1), preferred(5, 12)), (Side::Input, Side::Input));
        assert_eq!((preferred(6, 12), preferred(11, 12)), (Side::Output, Side::Output));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        for (settings, field) in [
            (Describe { shown: 0, ..Describe::default() }, "shown"),
            (Describe { window: 101, ..Describe::default() }, "window"),
            (Describe { tokens: 76, ..Describe::default() }, "tokens"),
            (Describe { candidates: 0, ..Describe::default() }, "candidates"),
            (Describe { answer_tokens: 0, ..Describe::default() }, "answer_tokens"),
        ] {
            let error = settings.validate().expect_err("is refused").to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }
}
