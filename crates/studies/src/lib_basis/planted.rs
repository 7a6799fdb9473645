//! Part A: two blocks and decoys behind rotations.

use ndarray::{Array2, Axis, s};
use nissl_core::Result;
use nissl_core::features::product;
use nissl_core::section::{Basis, Chain, InteractionBasis};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_trace::interaction::Edges;
use nissl_worlds::two_blocks::{TwoBlocks, TwoBlocksWorld};

use crate::report::{Bar, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting};

/// Networks that are drawn.
const NETWORKS: u64 = 4;
/// Dimensions that matter, and the constant.
const RELEVANT: usize = 9;

/// What is measured of one basis, the worst over the networks.
#[derive(Clone, Copy)]
struct Worst {
    kept: [f64; 2],
    purity: [f64; 2],
    cross: [f64; 2],
    unexplained: [f64; 2],
    /// Purity at `y`, the least.
    purity_y: f64,
}

/// Least and greatest with one more.
fn include(range: &mut [f64; 2], value: f64) {
    *range = [range[0].min(value), range[1].max(value)];
}

pub(super) fn planted(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let none = [f64::INFINITY, f64::NEG_INFINITY];
    let start =
        Worst { kept: none, purity: none, cross: none, unexplained: none, purity_y: f64::INFINITY };
    let mut both = [start; 2];
    for number in 0..NETWORKS {
        let world = TwoBlocks { seed: setting.seed + number, ..TwoBlocks::default() }.generate()?;
        let (chain, samples) = (world.chain(), world.samples());
        for (worst, basis) in both.iter_mut().zip([BasisKind::Lib, BasisKind::Pca]) {
            let settings =
                LocalInteractionBasis { basis, rotate_final: true, ..Default::default() };
            let found = settings.fit(&chain, &samples, setting.progress)?;
            for basis in &found.node_layers[..2] {
                include(&mut worst.kept, (basis.vectors() - 1) as f64);
            }
            let [x, y] = [0, 1].map(|layer| &found.node_layers[layer]);
            include(&mut worst.purity, world.purity(0, free(x).view()));
            worst.purity_y = worst.purity_y.min(world.purity(1, free(y).view()));
            let edges = Edges::default().between(&chain, &samples, &found, 0, setting.progress)?;
            include(&mut worst.cross, cross(&world, [x, y], &edges.weights));
            include(&mut worst.unexplained, unexplained(&chain, &world.inputs, &found)?);
        }
    }
    let [lib, pca] = both;
    let bar = |name: &str, value, bound| Bar::new(format!("A: {name}"), value, bound);
    findings.bars.bars.extend([
        bar("vectors kept by LIB, fewest", lib.kept[0], Bound::AtLeast(8.0)).with_paper(8.0),
        bar("vectors kept by LIB, most", lib.kept[1], Bound::AtMost(8.0)).with_paper(8.0),
        bar("vectors kept by PCA", pca.kept[0], Bound::Within(12.0, 12.0)),
        bar("purity of LIB at x, least", lib.purity[0], Bound::AtLeast(0.97)),
        bar("purity of PCA at x, greatest", pca.purity[1], Bound::AtMost(0.88)),
        bar("purity of LIB at y, least", lib.purity_y, Bound::AtLeast(0.97)),
        bar("share of edges across blocks, LIB", lib.cross[1], Bound::AtMost(0.01)),
        bar("share of edges across blocks, PCA", pca.cross[0], Bound::AtLeast(0.1)),
        bar("unexplained with 8 vectors of LIB", lib.unexplained[1], Bound::AtMost(1e-9)),
        bar("unexplained with 8 vectors of PCA", pca.unexplained[0], Bound::AtLeast(0.2)),
    ]);
    let mut table =
        Table::new("Least and greatest of four networks", ["figure", "LIB", "", "PCA", ""]);
    for (name, of) in [
        ("vectors kept at x and y", (|it| it.kept) as fn(Worst) -> [f64; 2]),
        ("purity at x", |it| it.purity),
        ("share of edges across blocks", |it| it.cross),
        ("output unexplained with 8 vectors at x", |it| it.unexplained),
    ] {
        let numbers = [lib, pca].into_iter().flat_map(of).map(Cell::Number);
        table = table.with_row(std::iter::once(Cell::text(name)).chain(numbers));
    }
    findings.sections.push(
        Section::new("A. Two blocks and decoys")
            .says(
                "Eight dimensions matter, four for each block; four decoys vary five times as much \
                 and are never read. Purity is the largest share of a vector's energy in one block \
                 or in the decoys.",
            )
            .with(table),
    );
    Ok(())
}

/// The vectors without the constant.
fn free(basis: &Basis) -> Array2<f64> {
    let columns: Vec<usize> = (0..basis.vectors()).filter(|&n| basis.constant != Some(n)).collect();
    basis.into.select(Axis(1), &columns)
}

/// The share of edges from one block to the other, among edges between vectors of either; each vector
/// counts to the blocks as its energy is shared between them.
fn cross(world: &TwoBlocksWorld, bases: [&Basis; 2], edges: &Array2<f64>) -> f64 {
    let shares: Vec<Vec<[f64; 3]>> = bases
        .iter()
        .enumerate()
        .map(|(layer, basis)| {
            let columns = basis.into.columns().into_iter();
            columns.map(|vector| world.shares(layer, vector)).collect()
        })
        .collect();
    let (mut across, mut all) = (0.0, 0.0);
    for ((i, j), &edge) in edges.indexed_iter() {
        if bases[0].constant == Some(j) || bases[1].constant == Some(i) {
            continue;
        }
        let ([a, b, _], [to_a, to_b, _]) = (shares[0][j], shares[1][i]);
        across += edge * (a * to_b + b * to_a);
        all += edge * (a + b) * (to_a + to_b);
    }
    across / all
}

/// Unexplained share of the output's variance with the constant and 8 vectors kept at `x`.
fn unexplained(chain: &Chain, inputs: &Array2<f64>, found: &InteractionBasis) -> Result<f64> {
    let run = |x: &Array2<f64>| -> Result<Array2<f64>> {
        let y = chain.sections[0].forward(x.view())?;
        chain.sections[1].forward(y.view())
    };
    let whole = run(inputs)?;
    let projector = found.node_layers[0].projector(RELEVANT);
    let part = run(&product(inputs.view(), projector.view()))?;
    let rows = whole.nrows() as f64;
    let mean = whole.slice(s![.., ..]).sum_axis(Axis(0)) / rows;
    let square = |x: Array2<f64>| x.iter().map(|x| x * x).sum::<f64>();
    Ok(square(part - &whole) / square(&whole - &mean))
}

#[cfg(test)]
mod tests {
    use nissl_core::Progress;

    use super::*;

    #[test]
    fn every_bar_holds_on_two_seeds() {
        let folder = tempfile::tempdir().expect("a folder");
        let progress = Progress::silent();
        for seed in [0, 10] {
            let setting = Setting { seed, folder: folder.path(), data: None, progress: &progress };
            let mut findings = Findings::default();
            planted(&setting, &mut findings).expect("runs");
            for bar in &findings.bars.bars {
                assert!(bar.pass(), "seed {seed}, {}: {}", bar.name, bar.value);
            }
        }
    }
}
