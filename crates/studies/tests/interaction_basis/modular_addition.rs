//! The published modular-addition networks: as many vectors are needed as the authors found.

use nissl_core::section::{Basis, Samples};
use nissl_networks::sections::{Outputs, Transformer};

use crate::{published, quiet};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};

const MODULUS: usize = 113;

/// The share of right answers with a basis's first vectors kept at its node layer.
struct Judge<'a> {
    chain: &'a nissl_core::section::Chain,
    rows: Vec<ndarray::Array2<f64>>,
}

impl Judge<'_> {
    fn accuracy(&self, layer: usize, basis: &Basis, kept: usize) -> f64 {
        let mut now = self.rows[layer].dot(&basis.projector(kept));
        for section in &self.chain.sections[layer..] {
            now = section.forward(now.view()).expect("fits");
        }
        let right = now.rows().into_iter().enumerate().filter(|(n, row)| {
            let best = (0..MODULUS).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            best == Some((n / MODULUS + n % MODULUS) % MODULUS)
        });
        right.count() as f64 / now.nrows() as f64
    }

    /// The fewest vectors that are as good as all, to 0.001.
    fn needed(&self, layer: usize, basis: &Basis) -> usize {
        let full = self.accuracy(layer, basis, basis.coordinates());
        let enough = |kept: usize| self.accuracy(layer, basis, kept) >= full - 0.001;
        (1..basis.coordinates()).find(|&kept| enough(kept)).unwrap_or(basis.coordinates())
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so, and figures are shown")]
fn seed_3_needs_as_many_vectors_as_published() {
    let Some(folder) = published() else {
        eprintln!("skipped: the published modular-addition checkpoints are not here");
        return;
    };
    let network = Transformer::open(&folder.join("seed3.pt")).expect("opens");
    let layers = ["ln1.0", "ln2.0", "unembed", "output"].map(str::to_owned);
    let cut = network.cut(&layers, 3, Outputs::Last).expect("cuts");
    let samples = cut.samples(network.tokens(all_sums()).expect("tokens"));
    let mut judge = Judge { chain: &cut.chain, rows: vec![samples.rows(0..12_769).expect("rows")] };
    for section in &cut.chain.sections[..2] {
        let next = section.forward(judge.rows[judge.rows.len() - 1].view()).expect("fits");
        judge.rows.push(next);
    }
    // Only the last two bases: the first needs every derivative of the attention.
    let last = network.cut(&layers[1..], 3, Outputs::Last).expect("cuts");
    let after = last.samples(network.tokens(all_sums()).expect("tokens"));
    for basis in [BasisKind::Lib, BasisKind::Pca] {
        let settings = LocalInteractionBasis { basis, ..LocalInteractionBasis::default() };
        let found = settings.fit(&last.chain, &after, &quiet()).expect("fits");
        let needed = [0, 1].map(|n| judge.needed(n + 1, &found.node_layers[n]));
        eprintln!("{basis:?}: {needed:?} vectors needed");
        for (needed, published) in needed.into_iter().zip([13, 7]) {
            assert!(needed.abs_diff(published) <= 2, "{basis:?}: {needed}, published {published}");
        }
    }
}

fn all_sums() -> Vec<Vec<u32>> {
    let pairs = (0..MODULUS * MODULUS).map(|n| [n / MODULUS, n % MODULUS, MODULUS]);
    pairs.map(|tokens| tokens.map(|token| token as u32).to_vec()).collect()
}
