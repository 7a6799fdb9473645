//! Reports: one HTML file that opens by double click and asks the network for nothing.
//!
//! A [`Report`] is plain data, sections of typed [`Block`]s; [`Report::to_html`] draws it.
//! Every drawing is inline SVG and has its numbers as a table beside it.
//! All that matters is readable without the script, which only sorts tables and lights up edges.
//!
//! ```
//! use nissl_studies::report::{Report, Score, ScoreBars, ScoreRow, Section};
//!
//! let score = Score::new(0.81).with_interval(0.77, 0.85).with_baseline(0.5);
//! let bars = ScoreBars::new("How well each method finds the planted concepts", "mean AUROC")
//!     .with_row(ScoreRow::new("snmf", score));
//! let report = Report::new("A first look", "What one method found.")
//!     .with_section(Section::new("Methods").with(bars));
//! assert!(report.to_html().starts_with("<!doctype html>"));
//! ```

mod adjacency;
mod axis;
mod bars;
mod before_after;
mod cell;
pub mod circuit_page;
pub mod connectome_page;
pub mod dashboard_page;
mod feature_card;
mod graph;
mod graph_layout;
mod histogram;
mod html;
pub mod interaction_page;
mod lines;
mod page;
mod prose;
mod provenance;
mod ring_graph;
#[cfg(test)]
mod sample;
mod score_bars;
mod sorted_matrix;
mod style;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

use nissl_core::Result;
use nissl_core::store::Provenance;
use serde::Serialize;

pub use adjacency::{Adjacency, AdjacencyKind};
pub use axis::{Axis, Reference, Scale};
pub use bars::{Bar, Bars, Bound};
pub use before_after::{BeforeAfter, Direction, Piece, Steered};
pub use cell::{Cell, Table};
pub use feature_card::{
    Example, FeatureCard, FeatureCards, Match, Quality, TokenActivity, TokenEffect, Truth,
    UnitWeight,
};
pub use graph::{Form, LayeredEdge, LayeredGraph, LayeredNode};
pub use histogram::Histogram;
pub use lines::{Band, Lines, Series};
pub use prose::{Fact, Facts, Note, Prose, Step, Steps};
pub use ring_graph::RingGraph;
pub use score_bars::{Score, ScoreBars, ScoreRow};
pub use sorted_matrix::SortedMatrix;
pub use text::{duration, number, score, signed};

/// A report: what was done, what came out, and how to do it again.
///
/// Text fields are plain text: markup in them is shown, not obeyed. In paragraphs, words between
/// backticks are set as code.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The title.
    pub title: String,
    /// One or two sentences that tell a newcomer what this page shows.
    pub lede: String,
    /// The outcome of a study, large at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The sections, in reading order.
    pub sections: Vec<Section>,
}

/// The outcome of a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether every bar held.
    pub pass: bool,
    /// What that means, in a sentence.
    pub says: String,
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// Its title, also its entry in the contents.
    pub title: String,
    /// Paragraphs before the blocks.
    pub paragraphs: Vec<String>,
    /// What is shown.
    pub blocks: Vec<Block>,
}

/// One thing that is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "block", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Block {
    /// Paragraphs.
    Prose(Prose),
    /// A folded explanation, such as how to read a figure.
    Note(Note),
    /// Numbered steps.
    Steps(Steps),
    /// A few large figures.
    Facts(Facts),
    /// A table.
    Table(Table),
    /// Scores with intervals and baselines.
    ScoreBars(ScoreBars),
    /// Features, one card each.
    FeatureCards(FeatureCards),
    /// Texts of a network before and after it was steered.
    BeforeAfter(BeforeAfter),
    /// Curves.
    Lines(Lines),
    /// A distribution.
    Histogram(Histogram),
    /// A graph in layers.
    LayeredGraph(LayeredGraph),
    /// A matrix of edges.
    Adjacency(Adjacency),
    /// A symmetric matrix, sorted by group.
    SortedMatrix(SortedMatrix),
    /// An undirected graph on a ring.
    RingGraph(RingGraph),
    /// What a study measured beside what it had to reach.
    Bars(Bars),
    /// How the report's figures were made.
    Provenance(Provenance),
}

macro_rules! blocks {
    ($($name:ident),+) => {
        $(impl From<$name> for Block {
            fn from(block: $name) -> Self {
                Self::$name(block)
            }
        })+

        impl Block {
            fn write(&self, html: &mut html::Html) {
                match self {
                    $(Self::$name(block) => block.write(html),)+
                }
            }
        }
    };
}

blocks!(
    Prose,
    Note,
    Steps,
    Facts,
    Table,
    ScoreBars,
    FeatureCards,
    BeforeAfter,
    Lines,
    Histogram,
    LayeredGraph,
    Adjacency,
    SortedMatrix,
    RingGraph,
    Bars,
    Provenance
);

/// What every block can do.
trait Draw {
    fn write(&self, html: &mut html::Html);
}

impl Report {
    /// A report without sections.
    pub fn new(title: impl Into<String>, lede: impl Into<String>) -> Self {
        Self { title: title.into(), lede: lede.into(), verdict: None, sections: Vec::new() }
    }

    /// The same report with a study's outcome at its head, judged from `bars`: no bar, no pass.
    #[must_use]
    pub fn judged_by(mut self, bars: &Bars) -> Self {
        self.verdict = Some(bars.verdict());
        self
    }

    /// The same report with one more section.
    #[must_use]
    pub fn with_section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// The whole file.
    pub fn to_html(&self) -> String {
        page::document(self)
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// A full disk or another failed file operation.
    pub fn write(&self, path: &Path) -> Result<()> {
        nissl_core::store::write_bytes(path, self.to_html().as_bytes())
    }
}

impl Section {
    /// A section without content.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), paragraphs: Vec::new(), blocks: Vec::new() }
    }

    /// The same section with one more paragraph before its blocks.
    #[must_use]
    pub fn says(mut self, paragraph: impl Into<String>) -> Self {
        self.paragraphs.push(paragraph.into());
        self
    }

    /// The same section with one more block.
    #[must_use]
    pub fn with(mut self, block: impl Into<Block>) -> Self {
        self.blocks.push(block.into());
        self
    }
}
