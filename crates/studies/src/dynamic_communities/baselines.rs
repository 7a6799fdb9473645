//! What a look at whole recordings gives: groups of a static correlation graph, and clusters of traces.

use std::path::Path;

use ndarray::{Array2, Axis, concatenate};
use nissl_core::stats::agreement::normalized_mutual_information;
use nissl_core::stats::correlation::correlation_matrix;
use nissl_core::{Error, Progress, Result};
use nissl_decompose::kmeans::{Activation, Kmeans};
use nissl_decompose::{Method, Options, Pca, decompose};

use super::found::{Found, community};
use crate::matrix::recording_of;

/// Principal components that are clustered.
const PRINCIPAL: usize = 5;

/// The agreement of each baseline with each motif.
pub(crate) struct Baselines {
    pub(crate) correlation: Vec<f64>,
    pub(crate) clusters: Vec<f64>,
}

/// The mean over animals of the correlations of whole traces, where above 0, cut and grouped as components are; and
/// clusters of traces in their first principal components, as many as the motif has groups and one more.
pub(crate) fn of(found: &Found, folder: &Path, progress: &Progress) -> Result<Baselines> {
    let traces = &found.world.traces;
    let units = traces[0].ncols();
    let mut mean = Array2::<f64>::zeros((units, units));
    for animal in traces {
        mean += &correlation_matrix(animal.view(), animal.view());
    }
    mean.mapv_inplace(|r| (r / traces.len() as f64).max(0.0));
    mean.diag_mut().fill(0.0);
    let groups = community(&mean, found.seed, progress)?.labels;
    let against = |groups: &[u32], motif: usize| {
        normalized_mutual_information(groups, &found.world.motifs[motif].labels(units))
    };
    let motifs = 0..found.world.motifs.len();
    let views: Vec<_> = traces.iter().map(|traces| traces.view()).collect();
    let whole = concatenate(Axis(0), &views)
        .map_err(|error| Error::setting("traces", error, "the same neurons in all animals"))?;
    let principal = Pca { k: PRINCIPAL, ..Pca::default() };
    let recording = recording_of(whole.t(), &folder.join("traces"))?;
    let options = Options { held_out: 0.0, ..Options::default() };
    let run = |method: Method, recording: &_, name: &str| {
        decompose(&method, recording, &folder.join(name), &options, progress)
    };
    let rows: Vec<usize> = (0..units).collect();
    let points = run(Method::Pca(principal), &recording, "pca")?.rows(&rows)?;
    let recording = recording_of(points.view(), &folder.join("points"))?;
    let mut clusters = Vec::new();
    for motif in motifs.clone() {
        let k = found.world.motifs[motif].groups.len() + 1;
        let method =
            Kmeans { k, restarts: 10, activation: Activation::Nearest, ..Kmeans::default() };
        let nearest =
            run(Method::Kmeans(method), &recording, &format!("clusters-{motif}"))?.rows(&rows)?;
        let label = |row: ndarray::ArrayView1<'_, f32>| {
            row.iter().position(|&on| on > 0.0).unwrap_or(0) as u32
        };
        let labels: Vec<u32> = nearest.rows().into_iter().map(label).collect();
        clusters.push(against(&labels, motif));
    }
    Ok(Baselines { correlation: motifs.map(|motif| against(&groups, motif)).collect(), clusters })
}
