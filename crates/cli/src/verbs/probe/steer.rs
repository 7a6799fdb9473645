//! `nissl probe steer FEATURES:NUMBER --model MODEL --prompt TEXT`

use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::network::LanguageNetwork;
use nissl_probe::steer::{Steer, Target, steer};

use super::{feature_of, site_of};
use crate::Context;
use crate::verbs::record;

/// `nissl probe steer`
#[derive(Debug, clap::Args)]
pub(crate) struct SteerOne {
    /// A feature, as FOLDER:NUMBER
    feature: String,
    /// The network that was recorded
    #[arg(long)]
    model: String,
    /// The text that is continued
    #[arg(long)]
    prompt: String,
    /// Words whose appearance is counted, separated by commas
    #[arg(long, value_delimiter = ',')]
    words: Vec<String>,
    #[command(flatten)]
    settings: Steer,
}

pub(crate) fn run(args: SteerOne, context: &Context<'_>) -> Result<ExitCode> {
    let settings = Steer { seed: context.global.seed, ..args.settings };
    let (features, number) = feature_of(&args.feature)?;
    let site = site_of(&features)?;
    let network = record::open(&args.model, context.global)?;
    let tokenizer = network.tokenizer()?;
    let mut counted = Vec::new();
    for word in &args.words {
        // A word stands for itself and for its form after a blank.
        for form in [word.clone(), format!(" {word}")] {
            let spans = tokenizer.encode(&form)?;
            counted.extend(spans.iter().filter(|span| span.start < span.end).map(|span| span.id));
        }
    }
    let tokens: Vec<u32> = tokenizer.encode(&args.prompt)?.iter().map(|span| span.id).collect();
    let direction = features.dictionary().decoder.row(number).to_vec();
    let hits = |text: &[u32]| text.iter().filter(|token| counted.contains(token)).count();
    let target = Target { site: &site, direction: &direction, hits: &hits };
    let steered = steer(&network, &tokens, target, &settings, context.progress)?;
    if context.printer.is_json() {
        context.printer.json(&steered)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |ids: Option<&Vec<u32>>| ids.map_or(Ok(String::new()), |ids| tokenizer.decode(ids));
    let mut rows = vec![vec![
        "plain".to_owned(),
        String::new(),
        String::new(),
        format!("{:.2}", steered.plain_concept),
        text(steered.plain.first())?,
    ]];
    for point in &steered.curve {
        let strength =
            point.strength.map_or("not reached".to_owned(), nissl_core::progress::significant);
        rows.push(vec![
            point.sign.symbol().to_owned(),
            point.target.to_string(),
            strength,
            if point.score.is_finite() { format!("{:.2}", point.score) } else { String::new() },
            text(point.texts.first())?,
        ]);
    }
    context.printer.table(&["sign", ">KL", ">strength", ">score", "first text"], &rows);
    context.printer.note(&format!(
        "best score {:.2} of 2 · random directions {:.2}",
        steered.score(),
        steered.control_score()
    ));
    Ok(ExitCode::SUCCESS)
}
