//! What a study is, and how it is run: claims are data, the verdict follows from the bars.

use std::path::Path;
use std::time::Instant;

use nissl_core::store::{Provenance, write_bytes};
use nissl_core::{Error, Progress, Result};
use serde::Serialize;

use crate::report::{Bars, Report, Section};

/// One published claim, rebuilt.
pub struct Study {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// The paper.
    pub source: &'static str,
    /// What is done and what must come out, for a newcomer.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&Setting<'_>) -> Result<Findings>,
}

/// What a study is run with.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The seed of every draw.
    pub seed: u64,
    /// An empty folder for artefacts.
    pub folder: &'a Path,
    /// Where real files lie that parts of studies use; those parts are skipped without it.
    pub data: Option<&'a Path>,
    /// How far it is, and whether to stop.
    pub progress: &'a Progress,
}

impl Setting<'_> {
    /// The folder `name` of the real files, or `None` where it is not there.
    pub fn data(&self, name: &str) -> Option<std::path::PathBuf> {
        self.data.map(|data| data.join(name)).filter(|folder| folder.is_dir())
    }
}

/// What a study found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The figures with what they had to reach.
    pub bars: Bars,
    /// What else is worth seeing.
    pub sections: Vec<Section>,
    /// The parts that could not be done, and what they need.
    pub skipped: Vec<String>,
}

/// The outcome of a study, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The study's name.
    pub study: String,
    /// `pass` when every bar holds, else `fail`.
    pub verdict: &'static str,
    /// The bars.
    pub bars: Vec<BarOutcome>,
    /// The parts that could not be done, and what they need.
    pub skipped: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// The seed it was run with.
    pub seed: u64,
    /// Where the report is.
    pub report: String,
}

/// A bar, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BarOutcome {
    /// The claim.
    pub name: String,
    /// Our figure; `null` when it could not be computed.
    pub value: f64,
    /// What it had to reach.
    pub bound: String,
    /// Whether it does.
    pub pass: bool,
}

impl Outcome {
    /// Whether every bar holds.
    pub fn passed(&self) -> bool {
        self.verdict == "pass"
    }
}

impl Study {
    /// Runs the study; its artefacts, `report.html` and `report.json` go into the setting's folder.
    ///
    /// # Errors
    /// Whatever keeps the study from being run; a missed bar is no error.
    pub fn execute(&self, setting: &Setting<'_>) -> Result<Outcome> {
        let &Setting { seed, folder, .. } = setting;
        let begun = Instant::now();
        let mut findings = (self.run)(setting)?;
        for skipped in &findings.skipped {
            findings.sections.push(Section::new("Not done").says(skipped.as_str()));
        }
        let seconds = begun.elapsed().as_secs_f64();
        let report = folder.join("report.html");
        let bars = findings.bars.bars.iter().map(|bar| BarOutcome {
            name: bar.name.clone(),
            value: bar.value,
            bound: bar.bound.to_string(),
            pass: bar.pass(),
        });
        let verdict = findings.bars.verdict();
        let outcome = Outcome {
            study: self.name.to_owned(),
            verdict: if verdict.pass { "pass" } else { "fail" },
            bars: bars.collect(),
            skipped: findings.skipped.clone(),
            seconds,
            seed,
            report: report.display().to_string(),
        };
        let mut provenance =
            Provenance::here(&serde_json::json!({"study": self.name}), seed, "cpu");
        provenance.seconds = seconds;
        self.page(findings, provenance).write(&report)?;
        let text = serde_json::to_vec_pretty(&outcome)
            .map_err(|error| Error::setting("report", error, "a JSON document"))?;
        write_bytes(&folder.join("report.json"), &text)?;
        Ok(outcome)
    }

    fn page(&self, findings: Findings, provenance: Provenance) -> Report {
        let Bars { .. } = &findings.bars;
        let page = Report::new(self.title, self.about).judged_by(&findings.bars);
        let claims = Section::new("Claims").says(format!("Source: {}", self.source));
        let page = page.with_section(claims.with(findings.bars));
        let page = findings.sections.into_iter().fold(page, Report::with_section);
        page.with_section(Section::new("How this was made").with(provenance))
    }
}

/// All studies.
pub fn all() -> Vec<&'static Study> {
    vec![
        &crate::snmf::SNMF,
        &crate::lm_head::LM_HEAD,
        &crate::transcoders::TRANSCODERS,
        &crate::lib_basis::LIB,
        &crate::celegans::CELEGANS_HOMOGENIZE,
        &crate::dynamic_communities::DYNAMIC_COMMUNITIES,
        &crate::language_world::LANGUAGE_WORLD,
    ]
}

/// The study called `name`.
///
/// # Errors
/// Names the nearest studies.
pub fn find(name: &str) -> Result<&'static Study> {
    all().into_iter().find(|study| study.name == name).ok_or_else(|| {
        let names = all().into_iter().map(|study| study.name);
        let near = nissl_core::error::nearest(name, names).join(", ");
        Error::setting("study", format!("`{name}`"), format!("one of {near}"))
    })
}
