//! The study `language-world`: which methods find the concepts that a trained network was shown.
//!
//! The bars were calibrated once, with the embedded model, over the seeds that `docs/studies.md` lists.

use nissl_core::Result;

use crate::compare::{Compared, compare, concept_table, score_bars};
use crate::demo::{Stage, record_world};
use crate::report::{Bar, Bars, Bound, Note, Section};
use crate::study::{Findings, Setting, Study};

/// The study.
pub const LANGUAGE_WORLD: Study = Study {
    name: "language-world",
    title: "Which methods find planted concepts in a trained network?",
    source: "nissl's own: a network trained on the language world, whose every token carries its \
             concepts",
    about: "A small network was trained on stories told by a grammar, so what every token means is \
            known. Its activity is decomposed by several methods; a concept counts as found when one \
            feature ranks the tokens that carry it above the others, on stories that played no part \
            in finding or choosing it.",
    run,
};

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let stage = Stage::default();
    let recorded = record_world(setting.folder, &stage, setting.seed, setting.progress)?;
    let features = setting.folder.join("features");
    let methods = recorded.methods(&stage);
    let compared = compare(&methods, &features, setting.seed, setting.progress)?;
    let bars = bars(&compared);
    let section = Section::new("Methods and concepts")
        .with(score_bars(&compared, "snmf"))
        .with(Note::how_to_read(
            "AUROC is the chance that a token with the concept is ranked above one without: 0.5 is \
             chance, 1 is perfect. For each concept the feature is chosen on four fifths of the \
             stories and scored on the rest.",
        ))
        .with(concept_table(&compared));
    Ok(Findings { bars, sections: vec![section], skipped: vec![] })
}

fn bars(compared: &[Compared]) -> Bars {
    let of = |method: &str| compared.iter().find(|one| one.method == method);
    let mean = |method: &str| of(method).map_or(f64::NAN, |one| one.matches.mean_auroc);
    let snmf = mean("snmf");
    let recovered = |method: &str| of(method).map_or(f64::NAN, |one| one.matches.recovered as f64);
    let judged = of("snmf").map_or(0, |one| one.matches.concepts.len()) as f64;
    let ahead = |other: &str, least: f64| {
        Bar::new(
            format!("SNMF above {other}, mean AUROC"),
            snmf - mean(other),
            Bound::AtLeast(least),
        )
    };
    Bars::new("Planted concepts of the language world")
        .with_bar(Bar::new("concepts judged", judged, Bound::AtLeast(60.0)))
        .with_bar(Bar::new("mean AUROC of SNMF", snmf, Bound::AtLeast(0.75)))
        .with_bar(ahead("pca", 0.01))
        .with_bar(ahead("neurons", 0.005))
        .with_bar(ahead("kmeans", -0.01).with_note(
            "a tie within what the seed of the stories changes: centroids are good detectors too",
        ))
        .with_bar(Bar::new("concepts found by SNMF", recovered("snmf"), Bound::AtLeast(15.0)))
        .with_bar(Bar::new(
            "more concepts found than by neurons",
            recovered("snmf") - recovered("neurons"),
            Bound::AtLeast(3.0),
        ))
}
