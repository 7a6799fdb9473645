//! What a set of worms covers: data sets, worms and neurons, counted.

use std::collections::{BTreeMap, BTreeSet};

use nissl_core::{Column, Table};
use serde::Serialize;

use super::layouts::Dataset;
use super::neurons::slots;
use super::set::WormSummary;

/// One data set of a set of worms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetStatistics {
    /// Its name.
    pub dataset: String,
    /// Its worms.
    pub worms: usize,
    /// The worms that the published table counts; none for other data sets.
    pub published_worms: Option<usize>,
    /// Labelled neurons of a worm, on average.
    pub labelled: f64,
    /// Neurons of a worm, on average.
    pub recorded: f64,
    /// Neurons that are labelled in at least one worm.
    pub distinct: usize,
    /// The median over its worms of the raw sampling interval, in seconds.
    pub original_dt: f64,
    /// Hours of recording.
    pub hours: f64,
    /// The paper to cite; empty when not known.
    pub citation: String,
}

/// The data sets among `worms`, in the order of the published table, then by name.
pub fn statistics(worms: &[WormSummary]) -> Vec<DatasetStatistics> {
    let mut sets: BTreeMap<(usize, &str), Vec<&WormSummary>> = BTreeMap::new();
    for worm in worms {
        let known = Dataset::called(&worm.dataset);
        let place = known.map_or(usize::MAX, |dataset| dataset as usize);
        sets.entry((place, &worm.dataset)).or_default().push(worm);
    }
    let one = |((_, name), worms): ((usize, &str), Vec<&WormSummary>)| {
        let mean = |of: fn(&WormSummary) -> usize| {
            worms.iter().map(|worm| of(worm)).sum::<usize>() as f64 / worms.len() as f64
        };
        let labels: BTreeSet<&str> =
            worms.iter().flat_map(|worm| worm.labels.iter().map(String::as_str)).collect();
        let mut intervals: Vec<f64> = worms.iter().map(|worm| worm.original_dt).collect();
        intervals.sort_unstable_by(f64::total_cmp);
        DatasetStatistics {
            dataset: name.to_owned(),
            worms: worms.len(),
            published_worms: Dataset::called(name).map(Dataset::worms),
            labelled: mean(|worm| worm.labelled),
            recorded: mean(|worm| worm.neurons),
            distinct: labels.len(),
            original_dt: intervals[intervals.len() / 2],
            hours: worms.iter().map(|worm| worm.seconds).sum::<f64>() / 3600.0,
            citation: worms[0].citation.clone(),
        }
    };
    sets.into_iter().map(one).collect()
}

/// Which worm has which of the 300 neurons: one row a neuron, a column a worm, and their number.
pub fn coverage(worms: &[WormSummary]) -> Table {
    let has: Vec<BTreeSet<&str>> =
        worms.iter().map(|worm| worm.labels.iter().map(String::as_str).collect()).collect();
    let count = |name: &&str| has.iter().filter(|labels| labels.contains(name)).count() as u32;
    let table = Table::new()
        .with("neuron", Column::Text(slots().iter().map(|name| (*name).to_owned()).collect()))
        .with("worms", Column::U32(slots().iter().map(count).collect()));
    worms.iter().zip(&has).fold(table, |table, (worm, labels)| {
        let column = slots().iter().map(|name| labels.contains(name)).collect();
        table.with(format!("{}/{}", worm.dataset, worm.worm), Column::Bool(column))
    })
}
