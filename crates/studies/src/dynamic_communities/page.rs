//! The atlas as a page: each component's time course with its stimuli, its pairs sorted by community, and its graph.

use std::collections::BTreeMap;

use nissl_core::components::TensorComponents;
use nissl_decompose::ntf::{Scan, atlas};

use super::found::Community;
use crate::report::{Axis, Band, Cell, Lines, RingGraph, Section, Series, SortedMatrix, Table};

/// Pair loadings below this share of the strongest are not drawn.
const FAINT: f32 = 0.05;

/// A section for each component, after one that sets components beside stimuli; `p` of each component's contrast where
/// it was tested.
pub fn sections(
    components: &TensorComponents,
    communities: &[Community],
    p: Option<&[f64]>,
) -> Vec<Section> {
    let mut sections = Vec::new();
    if !components.windows.is_empty() {
        sections.push(by_stimulus(components));
    }
    sections.push(animals(components));
    for (number, community) in communities.iter().enumerate() {
        sections.push(component(components, number, community, p.and_then(|p| p.get(number))));
    }
    sections
}

fn by_stimulus(components: &TensorComponents) -> Section {
    let mut table = Table::new(
        "The share of each component's mass during each stimulus",
        ["component", "stimulus", "share", "expected", "z"],
    );
    for row in atlas(components) {
        table = table.with_row([
            Cell::text(row.component.to_string()),
            Cell::text(row.stimulus),
            Cell::Number(row.fraction),
            Cell::Number(row.expected),
            Cell::Number(row.z),
        ]);
    }
    Section::new("Components and stimuli")
        .says(
            "Expected is the mean over all circular shifts of the component's time course, z how many \
             standard deviations of the shifts the share lies above it.",
        )
        .with(table)
}

fn animals(components: &TensorComponents) -> Section {
    let names = components.animal_names.iter().map(String::as_str);
    let header = std::iter::once("component").chain(["strength"]).chain(names);
    let mut table = Table::new("How strongly each animal shows each component", header);
    for (number, &lambda) in components.lambda.iter().enumerate() {
        let loadings = components.animals.column(number);
        let figures = std::iter::once(lambda).chain(loadings.iter().copied());
        let cells = figures.map(|figure| Cell::Number(f64::from(figure)));
        table = table.with_row(std::iter::once(Cell::text(number.to_string())).chain(cells));
    }
    Section::new("Components and animals").with(table)
}

/// Windows of stimuli that stand at the same time in all animals, or those of the first one.
fn bands(components: &TensorComponents) -> Vec<Band> {
    let first = components.windows.iter().filter(|window| window.animal == 0);
    first.map(|w| Band { label: w.name.clone(), range: [w.start, w.end] }).collect()
}

fn component(
    components: &TensorComponents,
    number: usize,
    community: &Community,
    p: Option<&f64>,
) -> Section {
    let course = components.times.column(number);
    let points = components.seconds.iter().zip(course).map(|(&time, &x)| [time, f64::from(x)]);
    let lines = Lines {
        caption: format!("When component {number} acts"),
        x: Axis::linear("seconds"),
        y: Axis::linear("time course"),
        series: vec![Series { label: format!("{number}"), points: points.collect() }],
        references: Vec::new(),
        bands: bands(components),
    };
    let units = components.units.len();
    let loadings = components.pairs.column(number);
    let most = loadings.iter().copied().fold(0.0, f32::max);
    let entries =
        loadings.iter().enumerate().filter(|(_, x)| **x > FAINT * most).map(|(pair, &x)| {
            let [a, b] = nissl_core::components::pair_at(pair, units);
            (a, b, f64::from(x))
        });
    let entries: Vec<_> = entries.collect();
    let matrix = SortedMatrix {
        caption: "Pairs, sorted by community".to_owned(),
        names: components.units.clone(),
        groups: community.labels.clone(),
        entries: entries.clone(),
    };
    let kept: Vec<usize> = (0..units).filter(|&unit| community.labels[unit] > 0).collect();
    let place: BTreeMap<usize, usize> =
        kept.iter().enumerate().map(|(at, &unit)| (unit, at)).collect();
    let edges = entries.iter().filter_map(|(a, b, x)| Some((*place.get(a)?, *place.get(b)?, *x)));
    let ring = RingGraph {
        caption: "Neurons by community, with their strongest pairs".to_owned(),
        names: kept.iter().map(|&unit| components.units[unit].clone()).collect(),
        groups: kept.iter().map(|&unit| community.labels[unit]).collect(),
        edges: edges.collect(),
    };
    let contrast = community.contrast;
    let tested = p.map_or_else(String::new, |p| format!(", p = {p:.3} against shifted data"));
    let says = format!(
        "{} of {units} neurons are in {} communities. A pair within a community loads {:.4} on average, one \
         between communities {}: contrast {:.2}{tested}.",
        kept.len(),
        community.labels.iter().max().copied().unwrap_or(0),
        contrast.within,
        if contrast.between.is_nan() {
            "none".to_owned()
        } else {
            format!("{:.4}", contrast.between)
        },
        contrast.contrast,
    );
    let section = Section::new(format!("Component {number}")).says(says);
    section.with(lines).with(members(components, community)).with(matrix).with(ring)
}

fn members(components: &TensorComponents, community: &Community) -> Table {
    let mut of: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (unit, &label) in community.labels.iter().enumerate() {
        of.entry(label).or_default().push(&components.units[unit]);
    }
    let mut table = Table::new("Members", ["community", "neurons", "members"]);
    for (label, members) in of {
        let name = if label == 0 { "background".to_owned() } else { label.to_string() };
        table = table.with_row([
            Cell::text(name),
            Cell::Number(members.len() as f64),
            Cell::text(members.join(" ")),
        ]);
    }
    table
}

/// The criteria by which the number of components was chosen.
pub fn curves(scan: &Scan) -> Section {
    let line = |label: &str, of: fn(&nissl_decompose::ntf::RankRow) -> f64| Series {
        label: label.to_owned(),
        points: scan.rows.iter().map(|row| [row.rank as f64, of(row)]).collect(),
    };
    let drawing = |caption: &str, y: &str, series: Vec<Series>| Lines {
        caption: caption.to_owned(),
        x: Axis::linear("components"),
        y: Axis::linear(y),
        series,
        references: Vec::new(),
        bands: Vec::new(),
    };
    let says = format!("{} components are used: {}.", scan.rank, scan.reason);
    let level = scan.levels_off.map_or_else(String::new, |rank| {
        format!(" The normalised nuclear norm levels off at {rank}.")
    });
    Section::new("How many components")
        .says(format!("{says}{level}"))
        .with(drawing(
            "Error and stability",
            "share",
            vec![line("relative error", |row| row.error), line("stability", |row| row.stability)],
        ))
        .with(drawing(
            "Normalised nuclear norm",
            "norm",
            vec![
                line("mean over runs", |row| row.nuclear_norm),
                line("smoothed", |row| row.smoothed_nuclear_norm),
            ],
        ))
        .with(drawing(
            "Core consistency",
            "of 100",
            vec![line("core consistency", |row| row.core_consistency)],
        ))
}
