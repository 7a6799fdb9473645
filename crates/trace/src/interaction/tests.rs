//! Edges against derivatives by finite differences, and ablations against their definition.

mod stated;

use ndarray::{Array2, Axis, array, s};
use nissl_core::graph::Orientation;
use nissl_core::section::{
    Affine, Basis, Chain, Extent, Held, Hidden, InteractionBasis, Nonlinearity, Rule, Section,
};
use nissl_core::{Progress, Result};
use rand::RngExt;

use super::*;

fn drawn(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut random = nissl_core::seed::rng(seed, 0);
    Array2::from_shape_fn((rows, columns), |_| random.random::<f64>() * 2.0 - 1.0)
}

/// The last column passes the constant on.
fn folded(mut weight: Array2<f64>) -> Array2<f64> {
    let (rows, last) = (weight.nrows(), weight.ncols() - 1);
    weight.column_mut(last).fill(0.0);
    weight[[rows - 1, last]] = 1.0;
    weight
}

fn relu(nonlinearity: Nonlinearity) -> Hidden {
    let mut out = drawn(7, 4, 3);
    out.column_mut(3).fill(0.0);
    let straight = folded(drawn(5, 4, 1));
    let (name, positions) = ("x".to_owned(), 1);
    Hidden { name, positions, straight, into: drawn(5, 7, 2), out, nonlinearity }
}

/// Two positions that multiply each other: `out_t = f_0 ∘ f_1 · (t + 1)`, then a constant.
struct Mixed;

impl Section for Mixed {
    fn name(&self) -> &'static str {
        "x"
    }

    fn extent(&self) -> Extent {
        Extent { positions_in: 2, inputs: 3, positions_out: 2, outputs: 3 }
    }

    fn forward(&self, inputs: ndarray::ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let mut out = inputs.to_owned();
        for (n, mut sample) in out.axis_chunks_iter_mut(Axis(0), 2).enumerate() {
            for t in 0..2 {
                for i in 0..2 {
                    let product = inputs[[2 * n, i]] * inputs[[2 * n + 1, 1 - i]];
                    sample[[t, i]] = product * (t + 1) as f64;
                }
            }
        }
        Ok(out)
    }

    fn push(
        &self,
        inputs: ndarray::ArrayView2<'_, f64>,
        tangents: ndarray::ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        // Exact: the map is of second degree.
        let (up, down) = (&inputs + &tangents, &inputs - &tangents);
        Ok((self.forward(up.view())? - self.forward(down.view())?) / 2.0)
    }

    fn pull(
        &self,
        inputs: ndarray::ArrayView2<'_, f64>,
        _: ndarray::ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        Ok(inputs.to_owned())
    }
}

fn basis(name: &str, coordinates: usize, vectors: usize, seed: u64) -> Basis {
    let mut basis = Basis::identity(name, coordinates);
    basis.into = drawn(coordinates, vectors, seed);
    basis.back = drawn(vectors, coordinates, seed + 1);
    basis.importance = ndarray::Array1::ones(vectors);
    basis.constant = Some(0);
    basis
}

fn case(section: Box<dyn Section>, samples: usize) -> (Chain, InteractionBasis, Held) {
    let extent = section.extent();
    let bases = vec![basis("x", extent.inputs, 4, 10), basis("y", extent.outputs, 3, 20)];
    let bases = InteractionBasis {
        settings: serde_json::Value::Null,
        samples: 0,
        warnings: Vec::new(),
        node_layers: bases,
    };
    let mut rows = drawn(samples * extent.positions_in, extent.inputs, 5);
    rows.column_mut(extent.inputs - 1).fill(1.0);
    let chain = Chain { sections: vec![section], end: "y".to_owned() };
    (chain, bases, Held { rows, positions: extent.positions_in })
}

/// The definition, with derivatives by central differences.
fn by_definition(
    chain: &Chain,
    bases: &InteractionBasis,
    held: &Held,
    settings: &Edges,
) -> Array2<f64> {
    let section = &chain.sections[0];
    let [source, target] = [&bases.node_layers[0], &bases.node_layers[1]];
    let positions = held.positions;
    let map = |new: &Array2<f64>| {
        section.forward(new.dot(&source.back).view()).expect("fits").dot(&target.into)
    };
    let points = nissl_core::section::Integration {
        rule: settings.integration,
        intervals: settings.intervals,
    };
    let mut sum = Array2::zeros((target.vectors(), source.vectors()));
    for sample in held.rows.axis_chunks_iter(Axis(0), positions) {
        let new = sample.dot(&source.into);
        for j in 0..source.vectors() {
            let mut effect = Array2::<f64>::zeros((section.extent().positions_out, 3));
            let mut functional = effect.clone();
            for [alpha, weight] in points.points() {
                let at = &new * alpha;
                let step = 1e-6 * alpha;
                let mut turn = Array2::<f64>::zeros((effect.nrows(), 3));
                for place in 0..positions {
                    let (mut up, mut down) = (at.clone(), at.clone());
                    up[[place, j]] += step;
                    down[[place, j]] -= step;
                    turn += &((map(&up) - map(&down)) / (2.0 * step) * new[[place, j]]);
                }
                functional += &((map(&new) - map(&at)) * &turn * (2.0 * weight));
                effect += &(turn * weight);
            }
            let found = match settings.formula {
                EdgeFormula::Squared => effect.mapv(|it| it * it),
                EdgeFormula::Functional => functional,
            };
            let mut column = sum.column_mut(j);
            column += &found.sum_axis(Axis(0));
        }
    }
    sum / held.rows.nrows() as f64
}

#[test]
fn edges_of_every_form_are_those_of_the_definition() {
    let linear = || Affine { name: "x".into(), positions: 1, weight: folded(drawn(5, 4, 7)) };
    let sections: [fn() -> Box<dyn Section>; 3] = [
        || Box::new(relu(Nonlinearity::Relu)),
        || Box::new(relu(Nonlinearity::Tanh)),
        || Box::new(Mixed),
    ];
    let mut cases: Vec<Box<dyn Section>> = vec![Box::new(linear())];
    cases.extend(sections.iter().map(|make| make()));
    for (n, section) in cases.into_iter().enumerate() {
        let (chain, bases, held) = case(section, 70);
        for (formula, integration) in [
            (EdgeFormula::Squared, Rule::Gradient),
            (EdgeFormula::Squared, Rule::GaussLegendre),
            (EdgeFormula::Squared, Rule::Trapezoid),
            (EdgeFormula::Functional, Rule::GaussLegendre),
        ] {
            let settings = Edges { formula, integration, intervals: 3, ..Edges::default() };
            let found = settings.all(&chain, &held, &bases, &Progress::silent()).expect("found");
            let truth = by_definition(&chain, &bases, &held, &settings);
            let gap = (&found[0].weights - &truth).mapv(f64::abs);
            let most = truth.iter().fold(0.0f64, |most, it| most.max(it.abs()));
            let gap = gap.iter().fold(0.0f64, |most, it| most.max(*it)) / most;
            assert!(gap < 1e-7, "section {n}, {settings:?}: {gap:e}");
            let [source, target] = [&bases.node_layers[0], &bases.node_layers[1]];
            let new = source.project(held.rows.view()).expect("fits");
            let pushed = settings.pushed(chain.sections[0].as_ref(), [source, target], &new, None);
            let pushed = pushed.expect("pushed") / held.rows.nrows() as f64;
            let gap = (&found[0].weights - &pushed).mapv(f64::abs);
            assert!(gap.iter().all(|it| *it < 1e-12 * most), "section {n}: closed form and pushed");
        }
    }
}

#[test]
fn a_longer_vector_at_the_input_changes_no_edge_and_at_the_output_its_square() {
    let (chain, mut bases, held) = case(Box::new(relu(Nonlinearity::Relu)), 40);
    let edges = Edges::default();
    let before = edges.all(&chain, &held, &bases, &Progress::silent()).expect("found");
    bases.node_layers[0].into.column_mut(2).mapv_inplace(|it| it * 5.0);
    bases.node_layers[0].back.row_mut(2).mapv_inplace(|it| it / 5.0);
    bases.node_layers[1].into.column_mut(1).mapv_inplace(|it| it * 3.0);
    let after = edges.all(&chain, &held, &bases, &Progress::silent()).expect("found");
    for ((i, j), &found) in after[0].weights.indexed_iter() {
        let truth = before[0].weights[[i, j]] * if i == 1 { 9.0 } else { 1.0 };
        assert!((found / truth - 1.0).abs() < 1e-9, "{i} {j}");
    }
}

/// A network whose answer is the sign of its first coordinate; the second is never read.
fn sign() -> (Chain, InteractionBasis, Held, Vec<u32>) {
    let first = Affine { name: "x".into(), positions: 1, weight: Array2::eye(3) };
    let weight = array![[1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [0.1, 0.0, 1.0]];
    let second = Affine { name: "y".into(), positions: 1, weight };
    let layers = ["x", "y", "z"].map(|name| Basis::identity(name, 3));
    let bases = InteractionBasis {
        settings: serde_json::Value::Null,
        samples: 0,
        warnings: Vec::new(),
        node_layers: layers.to_vec(),
    };
    let mut rows = drawn(2500, 3, 9);
    rows.column_mut(2).fill(1.0);
    let answers = rows.column(0).iter().map(|&x| u32::from(2.0 * x + 0.1 < 0.0)).collect();
    let chain = Chain { sections: vec![Box::new(first), Box::new(second)], end: "z".to_owned() };
    (chain, bases, Held { rows, positions: 1 }, answers)
}

#[test]
fn only_what_is_read_is_needed() {
    let (chain, bases, held, answers) = sign();
    let quiet = Progress::silent();
    let edges = Edges::default().all(&chain, &held, &bases, &quiet).expect("found");
    for (measure, tolerance) in [(Measure::Accuracy, 0.001), (Measure::CrossEntropy, 1e-9)] {
        let found = Ablate { measure, tolerance, ..Ablate::default() }
            .required(&chain, &held, &answers, (&bases, &edges), &quiet)
            .expect("found");
        // x → y: 1 → 1 alone, the constant being free, but the two others are of like weight.
        assert!(found[0].edges.is_some_and(|n| n <= 2), "{found:?}");
        // y → z: both outputs read the first coordinate, with equal weights, which stay together.
        assert_eq!(found[1].edges, Some(2), "{measure:?}");
        // The constant is the last vector here, and is needed: 0.1 of a shift.
        assert_eq!(found[0].vectors, Some(3), "{measure:?}");
        let linear = Ablate {
            edge_schedule: Schedule::Linear,
            vector_schedule: Schedule::Linear,
            measure,
            tolerance,
            ..Ablate::default()
        };
        let curves =
            linear.required(&chain, &held, &answers, (&bases, &edges), &quiet).expect("found");
        assert_eq!((curves[1].edges, curves[0].vectors), (Some(2), Some(3)), "{measure:?}");
        let curve = &curves[1].edge_curve;
        assert_eq!((curve[0].kept, curve[curve.len() - 1].kept), (6, 0), "most first: {curve:?}");
        let stopped = Ablate { stop: Some(1e-6), ..linear };
        let stopped =
            stopped.required(&chain, &held, &answers, (&bases, &edges), &quiet).expect("found");
        let lengths = [&stopped, &curves].map(|it| it[0].vector_curve.len());
        assert!(lengths[0] < lengths[1], "{stopped:?}");
        assert_eq!(stopped[1].edges, Some(2), "{measure:?}");
    }
    let ablation = Ablation::new(&chain, &held, &answers, Measure::Accuracy, 1).expect("fits");
    assert!((ablation.full() - 1.0).abs() < 1e-12);
    let (none, kept) = ablation.with_edges(&bases, &edges[1], 0).expect("runs");
    let of_first = answers.iter().filter(|it| **it == 0).count() as f64 / answers.len() as f64;
    assert!((none - of_first).abs() < 1e-12 && kept == 0, "the constant alone: always the first");
    let (one, kept) = ablation.with_edges(&bases, &edges[1], 1).expect("runs");
    assert!((one - 1.0).abs() < 1e-12 && kept == 2, "ties stay: {one} {kept}");
}

#[test]
fn masked_outputs_are_those_of_whole_sections_with_inputs_at_zero() {
    use super::masked::Masked;
    let makers: [fn() -> Box<dyn Section>; 4] = [
        || Box::new(Affine { name: "x".into(), positions: 1, weight: folded(drawn(5, 4, 7)) }),
        || Box::new(relu(Nonlinearity::Relu)),
        || Box::new(relu(Nonlinearity::Tanh)),
        || Box::new(Mixed),
    ];
    for make in makers {
        let (chain, bases, held) = case(make(), 6);
        let [source, target] = [&bases.node_layers[0], &bases.node_layers[1]];
        let new = source.project(held.rows.view()).expect("fits");
        let mut masked = Masked::new(chain.sections[0].as_ref(), [source, target]);
        for groups in [
            vec![(vec![0, 2], vec![0, 2]), (vec![0, 1, 3], vec![1])],
            vec![(vec![0, 2], vec![0]), (vec![], vec![1, 2])],
        ] {
            let found = masked.outputs(0, &new, &groups).expect("runs");
            for (inputs, outputs) in &groups {
                let mut chosen = Array2::<f64>::zeros(new.dim());
                for &j in inputs {
                    chosen.column_mut(j).assign(&new.column(j));
                }
                let whole = chain.sections[0].forward(chosen.dot(&source.back).view());
                let whole = whole.expect("fits").dot(&target.into);
                for &i in outputs {
                    let gap = (&found.column(i) - &whole.column(i)).mapv(f64::abs);
                    assert!(gap.iter().all(|it| *it < 1e-12), "output {i} of {inputs:?}");
                }
            }
        }
    }
}

#[test]
fn the_graph_leaves_constants_out_and_its_modules_are_the_blocks() {
    let (chain, mut bases, _, _) = sign();
    let quiet = Progress::silent();
    let mut rows = drawn(200, 3, 1);
    rows.column_mut(2).fill(1.0);
    let held = Held { rows, positions: 1 };
    let edges = Edges::default().all(&chain, &held, &bases, &quiet).expect("found");
    let found = graph(&bases, &edges, EdgeScale::Plain, Orientation::Directed).expect("fits");
    assert_eq!(found.nodes().rows(), 6, "three layers of two, without constants");
    let links: Vec<_> = found.links().map(|(s, t, _)| (s, t)).collect();
    assert_eq!(links, [(0, 2), (1, 3), (2, 4), (2, 5)]);
    let (of, table) = modules(&found, 1.0, 0).expect("found");
    assert_eq!(of.of[1], of.of[3], "what is never read stays by itself");
    assert_ne!(of.of[0], of.of[1]);
    assert_eq!(table.u32s("size").expect("there").iter().sum::<u32>(), 6);
    let shares = graph(&bases, &edges, EdgeScale::Share, Orientation::Directed).expect("fits");
    let sums = shares.links().map(|it| it.2).sum::<f64>();
    assert!((sums - 2.0).abs() < 1e-12, "one for each pair of layers: {sums}");
    assert!(graph(&bases, &edges, EdgeScale::Log { least: 0.0 }, Orientation::Directed).is_err());
    bases.node_layers[1].into = bases.node_layers[1].into.slice(s![.., ..2]).to_owned();
    assert!(graph(&bases, &edges, EdgeScale::Plain, Orientation::Directed).is_err());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (chain, bases, held, answers) = sign();
    let quiet = Progress::silent();
    let refused = |result: Result<()>, part: &str| {
        let text = result.expect_err(part).to_string();
        assert!(text.contains(part), "{text}");
    };
    let functional = Edges { formula: EdgeFormula::Functional, ..Edges::default() };
    refused(functional.validate(), "integration");
    let empty = Held { rows: Array2::zeros((0, 3)), positions: 1 };
    refused(Edges::default().all(&chain, &empty, &bases, &quiet).map(drop), "data");
    let mut broken = held.clone();
    broken.rows[[3, 0]] = f64::NAN;
    refused(Edges::default().all(&chain, &broken, &bases, &quiet).map(drop), "edges from x");
    let mut others = bases.clone();
    others.node_layers[1] = Basis::identity("y", 4);
    refused(Edges::default().all(&chain, &held, &others, &quiet).map(drop), "basis of y");
    others.node_layers[1].node_layer = "w".to_owned();
    refused(Edges::default().all(&chain, &held, &others, &quiet).map(drop), "y");
    let ablation = |answers: &[u32], layer| {
        Ablation::new(&chain, &held, answers, Measure::Accuracy, layer).map(drop)
    };
    refused(ablation(&answers[1..], 0), "answers");
    refused(ablation(&vec![2; answers.len()], 0), "answers");
    refused(ablation(&answers, 2), "layer");
}
