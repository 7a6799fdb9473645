//! What the factorisation and the block model find in one world.

use ndarray::{Array2, ArrayView1};
use nissl_core::components::{TensorComponents, pair_at};
use nissl_core::stats::agreement::normalized_mutual_information;
use nissl_core::stats::auroc::auroc;
use nissl_core::stats::matching::hungarian;
use nissl_core::{Progress, Result};
use nissl_decompose::ntf::{
    Affinities, Affinity, Animals, Ntf, Ranks, Restarts, Scan, components_of,
};
use nissl_trace::communities::{BlockModel, ComponentGraph, Contrast, Threshold};
use nissl_worlds::dynamic_communities::{
    DynamicCommunities, DynamicCommunitiesWorld, PlantedMotif,
};

use super::{RANK, animals};

/// The groups of one component.
#[derive(Clone, Debug)]
pub struct Community {
    /// The group of each neuron, counting from 1; 0 for background.
    pub labels: Vec<u32>,
    /// How much stronger pairs are within groups.
    pub contrast: Contrast,
}

/// One world and what was found in it.
pub(crate) struct Found {
    pub(crate) seed: u64,
    pub(crate) world: DynamicCommunitiesWorld,
    pub(crate) recorded: Animals,
    pub(crate) scan: Scan,
    pub(crate) components: TensorComponents,
    pub(crate) communities: Vec<Community>,
    pub(crate) stability: f64,
    /// The component that stands for each motif, and how well.
    pub(crate) component: Vec<usize>,
    pub(crate) times: Vec<f64>,
    pub(crate) animals: Vec<f64>,
    pub(crate) pairs: Vec<f64>,
    pub(crate) auroc: Vec<f64>,
    pub(crate) nmi: Vec<f64>,
}

/// The settings of all factorisations.
pub(crate) fn settings(seed: u64, restarts: usize, rank: Ranks) -> Ntf {
    Ntf { rank, restarts, seed, iterations: 300, ..Ntf::default() }
}

/// The affinities of `animals`.
pub(crate) fn affinities(animals: &Animals, progress: &Progress) -> Result<Affinities> {
    Affinity::default().of(animals, progress)
}

/// The groups of one component's graph, cut by Otsu's threshold.
pub(crate) fn community(matrix: &Array2<f64>, seed: u64, progress: &Progress) -> Result<Community> {
    let found = ComponentGraph::of(matrix, Threshold::Otsu, None)?;
    let blocks = BlockModel { seed, ..BlockModel::default() }.fit(&found.graph, progress)?;
    let contrast = Contrast::of(&found.graph, &blocks.levels[0]);
    Ok(Community { labels: found.labels(&blocks.levels[0]), contrast })
}

/// The groups of every component, of graphs cut by Otsu's threshold.
///
/// # Errors
/// A component without an edge, or an interruption.
pub fn communities(
    components: &TensorComponents,
    seed: u64,
    progress: &Progress,
) -> Result<Vec<Community>> {
    (0..components.rank())
        .map(|number| community(&components.matrix(number).mapv(f64::from), seed, progress))
        .collect()
}

fn cosine(found: ArrayView1<'_, f32>, planted: impl Iterator<Item = bool>) -> f64 {
    let (mut inner, mut left, mut right) = (0.0, 0.0, 0.0);
    for (&found, planted) in found.iter().zip(planted) {
        let (found, planted) = (f64::from(found), f64::from(u8::from(planted)));
        inner += found * planted;
        left += found * found;
        right += planted * planted;
    }
    inner / (left * right).sqrt().max(f64::MIN_POSITIVE)
}

impl Found {
    pub(crate) fn of(seed: u64, progress: &Progress) -> Result<Self> {
        let world = DynamicCommunities { seed, ..DynamicCommunities::default() }.generate()?;
        let recorded = animals(&world);
        let affinities = affinities(&recorded, progress)?;
        let ntf = settings(seed, 6, Ranks { from: 2, to: 7 });
        let scan = ntf.scan(&affinities.tensor, progress)?;
        let own: Restarts;
        let four = if scan.rank == RANK {
            &scan.chosen
        } else {
            own = ntf.fit(&affinities.tensor, RANK, None, progress)?;
            &own
        };
        let stability = four.stability;
        let components = components_of(&affinities, &recorded, &four.best, Vec::new());
        let communities = communities(&components, seed, progress)?;
        let mut found = Self {
            seed,
            recorded,
            scan,
            stability,
            component: vec![0; RANK],
            times: vec![0.0; RANK],
            animals: vec![0.0; RANK],
            pairs: vec![0.0; RANK],
            auroc: vec![0.0; RANK],
            nmi: vec![0.0; RANK],
            world,
            components,
            communities,
        };
        found.compare();
        Ok(found)
    }

    /// Sets beside each motif the component that is most like it in time and animals.
    fn compare(&mut self) {
        let motifs = self.world.motifs.clone();
        let both = |component: usize, motif: &PlantedMotif| {
            let [time, animal, _] = self.cosines(component, motif);
            time * animal
        };
        let scores = Array2::from_shape_fn((RANK, RANK), |(c, m)| both(c, &motifs[m]));
        for pair in hungarian(scores.view()) {
            let (component, number) = (pair.found, pair.planted);
            let motif = &motifs[number];
            let [time, animal, pairs] = self.cosines(component, motif);
            let loadings = self.components.pairs.column(component).to_vec();
            let truth = self.truth(motif);
            let labels = motif.labels(self.components.units.len());
            let groups = &self.communities[component].labels;
            self.component[number] = component;
            self.times[number] = time;
            self.animals[number] = animal;
            self.pairs[number] = pairs;
            self.auroc[number] = auroc(&loadings, &truth);
            self.nmi[number] = normalized_mutual_information(groups, &labels);
        }
    }

    fn truth(&self, motif: &PlantedMotif) -> Vec<bool> {
        let units = self.components.units.len();
        let pairs = 0..self.components.pairs.nrows();
        pairs.map(|pair| pair_at(pair, units)).map(|[a, b]| motif.joins(a, b)).collect()
    }

    fn cosines(&self, component: usize, motif: &PlantedMotif) -> [f64; 3] {
        let components = &self.components;
        let times = components.seconds.iter().map(|&time| motif.acts_at(time));
        let animals = (0..components.animal_names.len()).map(|animal| motif.acts_in(animal));
        [
            cosine(components.times.column(component), times),
            cosine(components.animals.column(component), animals),
            cosine(components.pairs.column(component), self.truth(motif).into_iter()),
        ]
    }
}
