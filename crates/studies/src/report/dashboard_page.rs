//! A page of dashboards: what each feature fires on, in bands of its activation, what it reads and
//! writes, and what drives it; without its texts in blind mode, without its name on mixed sheets.

use nissl_core::features::Features;
use nissl_explain::dashboard::{Dashboard, Item, Link};
use nissl_explain::examples;
use nissl_explain::shown::spaced;

use crate::report::{
    Axis, Cell, Example, FeatureCard, FeatureCards, Histogram, Note, Report, Section, Table,
    TokenActivity, TokenEffect, number,
};

/// Bins of the histogram of densities.
const BINS: usize = 30;

/// What the reader of a page may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    Open,
    /// Only what the weights tell, for the blind case study.
    Blind,
    /// Everything but whose feature it is, for comparisons.
    Mixed,
}

/// The page of `dashboards` of `features`.
pub fn page(features: &Features, dashboards: &[Dashboard], sight: Sight) -> Report {
    let title = match sight {
        Sight::Blind => "Features by their weights alone",
        Sight::Open | Sight::Mixed => "Features and what they do",
    };
    let lede = format!(
        "{} of the {} features that `{}` found in {} units.",
        dashboards.len(),
        features.features(),
        features.method(),
        features.units()
    );
    let report = Report::new(title, lede).with_section(densities(features, dashboards));
    let report = if sight == Sight::Blind { report.with_section(how_blind()) } else { report };
    dashboards.iter().fold(report, |report, one| {
        let name = if one.name.is_empty() || sight == Sight::Blind { "" } else { &one.name };
        let title = match name {
            "" => format!("Feature {}", one.feature),
            name => format!("Feature {}: {name}", one.feature),
        };
        report.with_section(section(title, one, one.feature, sight))
    })
}

/// The page of features of several sources, mixed; `dashboards` are in the order of `items`.
pub fn mixed_page(items: &[Item], dashboards: &[Dashboard]) -> Report {
    let lede = format!(
        "{} features of two sources in random order. Judge each on the sheet: can you say in \
         words what it stands for? yes, maybe, or no.",
        items.len()
    );
    items.iter().zip(dashboards).fold(
        Report::new("Which can be understood?", lede),
        |report, it| {
            let (item, dashboard) = it;
            let hidden = Dashboard { name: String::new(), ..dashboard.clone() };
            report.with_section(section(
                format!("Item {}", item.item),
                &hidden,
                item.item,
                Sight::Mixed,
            ))
        },
    )
}

fn how_blind() -> Section {
    Section::new("How to judge blindly")
        .says("The texts on which these features fire are hidden.")
        .says(
            "Say in a few words what each stands for, from what it reads, what it writes, and the \
             features that drive it. Then make the page again without `--blind` and compare.",
        )
}

fn densities(features: &Features, dashboards: &[Dashboard]) -> Section {
    let table = features.table();
    let density: Vec<f64> = table
        .f32s("density")
        .map(|all| all.iter().map(|&share| f64::from(share)).collect())
        .unwrap_or_default();
    let dead = density.iter().filter(|share| **share <= 0.0).count();
    let mut histogram = Histogram::of(
        "How often the features are active",
        Axis::log("share of samples"),
        &density,
        BINS,
    );
    if let [one] = dashboards
        && one.density > 0.0
    {
        histogram = histogram.with_mark("this feature", f64::from(one.density));
    }
    Section::new("All features")
        .says(format!("{dead} of {} are never active.", density.len()))
        .with(histogram)
}

fn section(title: String, one: &Dashboard, shown_as: usize, sight: Sight) -> Section {
    let effects = |tokens: &[(String, f32)]| -> Vec<TokenEffect> {
        let effect =
            |(text, effect): &(String, f32)| TokenEffect { text: text.clone(), effect: *effect };
        tokens.iter().map(effect).collect()
    };
    let open = sight != Sight::Blind;
    let card = FeatureCard {
        feature: shown_as,
        name: String::new(),
        density: (sight != Sight::Blind).then(|| f64::from(one.density)),
        examples: if open { texts(one, |example| example.quantile == 0) } else { Vec::new() },
        up: effects(&one.promotes),
        down: effects(&one.suppresses),
        ..FeatureCard::default()
    };
    let mut section = Section::new(title);
    if open {
        section = section.with(FeatureCards { caption: String::new(), cards: vec![card] });
        section = with_bands(section, one, shown_as);
    } else {
        section = section.with(pushed("What it writes", one));
    }
    if !one.reads.is_empty() {
        let table = Table::new("Tokens whose embedding it reads most", ["token", "product"]);
        section = section.with(one.reads.iter().fold(table, |table, (token, product)| {
            table.with_row([Cell::token(token), Cell::Number(f64::from(*product))])
        }));
    }
    // The features of another layer would tell of which set a mixed item is.
    if sight != Sight::Mixed {
        for (caption, links) in [
            ("Earlier features that drive it", &one.driven_by),
            ("Later features it drives", &one.drives),
        ] {
            if !links.is_empty() {
                section = section.with(linked(caption, links));
            }
        }
    }
    section
}

fn pushed(caption: &str, one: &Dashboard) -> Table {
    let table = Table::new(caption, ["promotes", "logit", "suppresses", "logit"]);
    let count = one.promotes.len().max(one.suppresses.len());
    let cells = |tokens: &[(String, f32)], place: usize| match tokens.get(place) {
        Some((token, logit)) => [Cell::token(token), Cell::Number(f64::from(*logit))],
        None => [Cell::Empty, Cell::Empty],
    };
    (0..count).fold(table, |table, place| {
        let [up, by] = cells(&one.promotes, place);
        let [down, by_less] = cells(&one.suppresses, place);
        table.with_row([up, by, down, by_less])
    })
}

fn linked(caption: &str, links: &[Link]) -> Table {
    let table = Table::new(caption, ["site", "feature", "weight"]);
    links.iter().fold(table, |table, link| {
        table.with_row([
            Cell::text(&*link.site),
            Cell::Number(link.feature as f64),
            Cell::Number(f64::from(link.weight)),
        ])
    })
}

/// The bands of its activation, and draws from each.
fn with_bands(section: Section, one: &Dashboard, shown_as: usize) -> Section {
    if one.bands.is_empty() {
        return section;
    }
    let histogram = Histogram {
        caption: "Active samples in bands of equal width".to_owned(),
        x: Axis::linear("activation"),
        edges: std::iter::once(0.0)
            .chain(one.bands.iter().map(|band| f64::from(band.high)))
            .collect(),
        counts: one.bands.iter().map(|band| band.samples).collect(),
        ..Histogram::default()
    }
    .with_log_counts();
    let name = |place: usize| {
        let band = &one.bands[place];
        format!("{} – {}", number(f64::from(band.low)), number(f64::from(band.high)))
    };
    let shares =
        Table::new("Share of the active samples in each band", ["band", "share", "samples"]);
    let shares = one.bands.iter().enumerate().rev().fold(shares, |table, (place, band)| {
        table.with_row([
            Cell::Text(name(place)),
            Cell::Number(band.share),
            Cell::Number(band.samples as f64),
        ])
    });
    let examples = (0..one.bands.len()).rev().flat_map(|place| {
        let mut found = texts(one, |example| example.quantile as usize == place + 1);
        for example in &mut found {
            example.from = name(place);
        }
        found
    });
    let card = FeatureCard {
        feature: shown_as,
        name: "draws from each band".to_owned(),
        examples: examples.collect(),
        ..FeatureCard::default()
    };
    section
        .with(histogram)
        .with(shares)
        .with(FeatureCards { caption: String::new(), cards: vec![card] })
        .with(Note::how_to_read(
            "The strongest examples can look alike while the weak ones, which are most, do not: a \
             feature is understood when its words fit every band.",
        ))
}

fn texts(one: &Dashboard, wanted: impl Fn(&examples::Example) -> bool) -> Vec<Example> {
    let found = one.examples.iter().filter(|example| wanted(example));
    found
        .map(|example| Example {
            from: "top".to_owned(),
            tokens: spaced(&example.tokens)
                .into_iter()
                .zip(&example.activations)
                .map(|(text, &activity)| TokenActivity { text, activity })
                .collect(),
        })
        .collect()
}
