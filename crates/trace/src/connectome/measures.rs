//! Measures of one connectome: degree, reciprocity, clustering, path length, overlap of both kinds.
//!
//! Of n connected neurons: density `d = E / n(n−1)`; reciprocity `r = E↔ / E`, by chance `d`; clustering of a neuron
//! the share of pairs of its neighbours that are neighbours, averaged over neurons with two or more, by chance the
//! density of the undirected graph; transitivity `3 triangles / connected triples`. Neighbours are joined by a gap
//! junction or a chemical synapse either way; loops are left out of all but counts and weights.
//! Source: Varshney et al. 2011, PLoS Comput. Biol. 7:e1001066, "Small world network"; Newman 2003, §III B
//! (transitivity); Garlaschelli and Loffredo 2004 (reciprocity).

use ndarray::Array2;
use serde::Serialize;

use super::{CHEMICAL, Connectome, ELECTRICAL, path_lengths};

/// Edges of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EdgeMeasures {
    /// The type.
    pub kind: String,
    /// Directed edges, loops too.
    pub edges: usize,
    /// The sum of their weights.
    pub weight: f64,
    /// Edges of the possible ones between two connected neurons.
    pub density: f64,
    /// The share of edges whose reverse is there; 1 for gap junctions.
    pub reciprocity: f64,
}

/// Measures of one connectome; shares are 0 to 1, NaN where nothing is to be shared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// What it is called.
    pub name: String,
    /// Neurons with an edge.
    pub neurons: usize,
    /// Ordered pairs with an edge of any type.
    pub pairs: usize,
    /// Unordered pairs with gap junctions, loops too.
    pub gap_pairs: usize,
    /// By type.
    pub kinds: Vec<EdgeMeasures>,
    /// Neighbours of a neuron, on average.
    pub mean_degree: f64,
    /// The most neighbours, and the neuron that has them.
    pub largest_degree: (usize, String),
    /// The average clustering.
    pub clustering: f64,
    /// The clustering of a random graph with as many edges.
    pub chance_clustering: f64,
    /// Triangles of the connected triples.
    pub transitivity: f64,
    /// Steps between two neurons along the direction of synapses, on average over reachable pairs.
    pub mean_path: f64,
    /// Ordered pairs with a path.
    pub reachable: f64,
    /// Pairs with gap junctions that have chemical synapses too, either way.
    pub gap_with_chemical: f64,
    /// Pairs with chemical synapses that have gap junctions too.
    pub chemical_with_gap: f64,
    /// Pairs with both of the pairs with either.
    pub overlap: f64,
    /// All pairs that have chemical synapses: what `gap_with_chemical` is by chance.
    pub chance_overlap: f64,
}

/// Measures of one neuron.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeMeasures {
    /// Its name.
    pub neuron: String,
    /// Neurons to which it has chemical synapses.
    pub out_degree: usize,
    /// Neurons that have chemical synapses to it.
    pub in_degree: usize,
    /// Neurons with which it shares gap junctions.
    pub gap_degree: usize,
    /// The weight of its chemical synapses to others.
    pub out_weight: f64,
    /// The weight of others' chemical synapses to it.
    pub in_weight: f64,
    /// The weight of its gap junctions.
    pub gap_weight: f64,
    /// Its clustering; NaN with fewer than two neighbours.
    pub clustering: f64,
}

/// Whether two neurons are neighbours, without loops.
fn neighbours(connectome: &Connectome) -> Array2<bool> {
    let anatomy = connectome.anatomy();
    Array2::from_shape_fn(anatomy.dim(), |(a, b)| {
        a != b && (anatomy[[a, b]] != 0.0 || anatomy[[b, a]] != 0.0)
    })
}

/// For each neuron its neighbours, and how many pairs of them are neighbours.
fn triangles(near: &Array2<bool>) -> Vec<(usize, usize)> {
    near.rows()
        .into_iter()
        .map(|row| {
            let own: Vec<usize> = (0..row.len()).filter(|&other| row[other]).collect();
            let pairs = own.iter().enumerate();
            let closed = pairs
                .map(|(place, &a)| own[place + 1..].iter().filter(|&&b| near[[a, b]]).count())
                .sum();
            (own.len(), closed)
        })
        .collect()
}

fn clustering((degree, closed): (usize, usize)) -> f64 {
    if degree < 2 { f64::NAN } else { 2.0 * closed as f64 / (degree * (degree - 1)) as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        count += 1.0;
    }
    sum / count
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// The measures of a connectome.
pub fn measures(connectome: &Connectome) -> Measures {
    let connected = connectome.connected();
    let inside: Vec<usize> = (0..connected.len()).filter(|&row| connected[row]).collect();
    let count = inside.len();
    let possible = count * count.saturating_sub(1);
    let near = neighbours(connectome);
    let closed = triangles(&near);
    let degrees = inside.iter().map(|&row| closed[row].0);
    let total_degree: usize = degrees.clone().sum();
    // Among equals the first neuron.
    let largest = inside.iter().copied().max_by_key(|&row| (closed[row].0, std::cmp::Reverse(row)));
    let triples: usize =
        closed.iter().map(|&(degree, _)| degree * degree.saturating_sub(1) / 2).sum();
    let lengths = path_lengths(connectome.anatomy().view());
    let off_diagonal =
        || inside.iter().flat_map(|&a| inside.iter().map(move |&b| (a, b))).filter(|(a, b)| a != b);
    let reached = off_diagonal().map(|at| lengths[at]).filter(|&length| length != u32::MAX);
    let steps: Vec<f64> = reached.map(f64::from).collect();

    let gap = |a: usize, b: usize| connectome.weight(ELECTRICAL, a, b) != 0.0;
    let chemical = |a: usize, b: usize| {
        connectome.weight(CHEMICAL, a, b) != 0.0 || connectome.weight(CHEMICAL, b, a) != 0.0
    };
    let (mut gaps, mut chemicals, mut both) = (0, 0, 0);
    for (a, b) in off_diagonal().filter(|(a, b)| a < b) {
        let (g, c) = (gap(a, b), chemical(a, b));
        gaps += usize::from(g);
        chemicals += usize::from(c);
        both += usize::from(g && c);
    }
    let all = connectome.neurons.len();
    let any = |from: usize, to: usize| {
        connectome.weights.values().any(|matrix| matrix[[from, to]] != 0.0)
    };
    Measures {
        name: connectome.name.clone(),
        neurons: count,
        pairs: (0..all).map(|from| (0..all).filter(|&to| any(from, to)).count()).sum(),
        gap_pairs: gaps + (0..all).filter(|&row| gap(row, row)).count(),
        kinds: connectome
            .weights
            .iter()
            .map(|(kind, matrix)| edge_measures(kind, matrix, possible))
            .collect(),
        mean_degree: share(total_degree, count),
        largest_degree: largest
            .map_or_else(Default::default, |row| (closed[row].0, connectome.neurons[row].clone())),
        clustering: mean(inside.iter().map(|&row| clustering(closed[row]))),
        chance_clustering: share(total_degree, possible),
        transitivity: share(closed.iter().map(|&(_, closed)| closed).sum(), triples),
        mean_path: mean(steps.iter().copied()),
        reachable: share(steps.len(), possible),
        gap_with_chemical: share(both, gaps),
        chemical_with_gap: share(both, chemicals),
        overlap: share(both, gaps + chemicals - both),
        chance_overlap: share(2 * chemicals, possible),
    }
}

fn edge_measures(kind: &str, matrix: &Array2<f64>, possible: usize) -> EdgeMeasures {
    let (mut edges, mut proper, mut returned) = (0, 0, 0);
    for ((from, to), &weight) in matrix.indexed_iter() {
        if weight != 0.0 {
            edges += 1;
            proper += usize::from(from != to);
            returned += usize::from(from != to && matrix[[to, from]] != 0.0);
        }
    }
    EdgeMeasures {
        kind: kind.to_owned(),
        edges,
        weight: matrix.sum(),
        density: share(proper, possible),
        reciprocity: share(returned, proper),
    }
}

/// The measures of every connected neuron, in the order of the node table.
pub fn node_measures(connectome: &Connectome) -> Vec<NodeMeasures> {
    let closed = triangles(&neighbours(connectome));
    let connected = connectome.connected();
    let count = connected.len();
    let others = |row: usize| (0..count).filter(move |&other| other != row);
    (0..count)
        .filter(|&row| connected[row])
        .map(|row| {
            let out = |other: usize| connectome.weight(CHEMICAL, row, other);
            let into = |other: usize| connectome.weight(CHEMICAL, other, row);
            let gap = |other: usize| connectome.weight(ELECTRICAL, row, other);
            let degree = |of: &dyn Fn(usize) -> f64| others(row).filter(|&o| of(o) != 0.0).count();
            let weight = |of: &dyn Fn(usize) -> f64| others(row).map(of).sum();
            NodeMeasures {
                neuron: connectome.neurons[row].clone(),
                out_degree: degree(&out),
                in_degree: degree(&into),
                gap_degree: degree(&gap),
                out_weight: weight(&out),
                in_weight: weight(&into),
                gap_weight: weight(&gap),
                clustering: clustering(closed[row]),
            }
        })
        .collect()
}
