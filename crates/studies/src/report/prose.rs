//! Words: paragraphs, folded notes, numbered steps, large figures.

use serde::Serialize;

use super::Draw;
use super::html::Html;

/// Paragraphs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Prose {
    /// The paragraphs.
    pub paragraphs: Vec<String>,
}

/// A folded explanation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What stands on the closed fold.
    pub title: String,
    /// The explanation.
    pub paragraphs: Vec<String>,
}

/// Numbered steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// The steps, first to last.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was done, in a few words.
    pub title: String,
    /// How, in a sentence or two.
    pub says: String,
}

/// A few large figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The figures.
    pub facts: Vec<Fact>,
}

/// A large figure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// The figure, written out.
    pub figure: String,
    /// What it counts.
    pub label: String,
}

impl Prose {
    /// One paragraph.
    pub fn new(paragraph: impl Into<String>) -> Self {
        Self { paragraphs: vec![paragraph.into()] }
    }

    /// The same prose with one more paragraph.
    #[must_use]
    pub fn says(mut self, paragraph: impl Into<String>) -> Self {
        self.paragraphs.push(paragraph.into());
        self
    }
}

impl Note {
    /// A note titled "How to read this".
    pub fn how_to_read(paragraph: impl Into<String>) -> Self {
        Self { title: "How to read this".to_owned(), paragraphs: vec![paragraph.into()] }
    }

    /// The same note with one more paragraph.
    #[must_use]
    pub fn says(mut self, paragraph: impl Into<String>) -> Self {
        self.paragraphs.push(paragraph.into());
        self
    }
}

impl Steps {
    /// The same steps with one more at the end.
    #[must_use]
    pub fn then(mut self, title: impl Into<String>, says: impl Into<String>) -> Self {
        self.steps.push(Step { title: title.into(), says: says.into() });
        self
    }
}

impl Facts {
    /// The same figures with one more.
    #[must_use]
    pub fn with(mut self, figure: impl Into<String>, label: impl Into<String>) -> Self {
        self.facts.push(Fact { figure: figure.into(), label: label.into() });
        self
    }
}

fn paragraphs(html: &mut Html, paragraphs: &[String]) {
    for paragraph in paragraphs {
        html.node("p", &[], |html| html.rich(paragraph));
    }
}

impl Draw for Prose {
    fn write(&self, html: &mut Html) {
        html.node("div", &[("class", "block")], |html| paragraphs(html, &self.paragraphs));
    }
}

impl Draw for Note {
    fn write(&self, html: &mut Html) {
        html.node("details", &[("class", "how")], |html| {
            html.leaf("summary", &[], &self.title);
            paragraphs(html, &self.paragraphs);
        });
    }
}

impl Draw for Steps {
    fn write(&self, html: &mut Html) {
        html.node("ol", &[("class", "steps block")], |html| {
            for step in &self.steps {
                html.node("li", &[], |html| {
                    html.leaf("h3", &[], &step.title);
                    html.node("p", &[], |html| html.rich(&step.says));
                });
            }
        });
    }
}

impl Draw for Facts {
    fn write(&self, html: &mut Html) {
        html.node("dl", &[("class", "facts block")], |html| {
            for fact in &self.facts {
                html.node("div", &[], |html| {
                    html.leaf("dt", &[], &fact.label);
                    html.leaf("dd", &[], &fact.figure);
                });
            }
        });
    }
}
