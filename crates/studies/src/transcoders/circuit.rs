//! Part A: a network whose MLPs are known transcoders, with one planted chain.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use nissl_core::network::{LanguageNetwork, ResidualWeights, TokenBatch};
use nissl_core::taps::{Change, Edit, Positions, Selection, Taps};
use nissl_core::{Error, Result};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::frozen::{Freeze, FrozenRun, Replaced, Wiring, neurons};
use nissl_trace::transcoder_paths::{Component, Start, TranscoderPaths, Worth};
use nissl_worlds::planted_circuit::{Chain, CircuitNorms, PlantedCircuit};

use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// Networks that are planted.
const NETWORKS: u64 = 20;
/// By these factors each decoder row of an imperfect copy is shortened in turn.
const COPY: [f32; 4] = [0.9, 0.95, 1.0, 1.05];

/// Checks contributions, the search and what ablation costs in planted networks.
pub(super) fn circuits(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let search = TranscoderPaths { beam: 10, iterations: 3, ..TranscoderPaths::default() };
    let (mut gap, mut error, mut cost, mut raw) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    let (mut first, mut active, mut other) = (0, 0, 0);
    for number in 0..NETWORKS {
        setting.progress.check(|| format!("{number} planted networks"))?;
        let seed = NETWORKS * setting.seed + number;
        let folder = |norms: &str| setting.folder.join(format!("circuit-{number}-{norms}"));
        let world = World::plant(seed, CircuitNorms::Layer, &folder("layer"))?;
        let wiring = Wiring::new(&world.weights, world.transcoders()?)?;
        let run = FrozenRun::new(&wiring, &world.network, &world.chain.prompt, &Freeze::default())?;
        let sites = run.active_features();
        active += sites.len();
        let targets = sites
            .iter()
            .map(|at| run.feature(at.layer, at.position, at.feature as usize))
            .collect::<Result<Vec<_>>>()?;
        for (site, found) in sites.iter().zip(run.contributions(&targets)) {
            let truth = f64::from(site.activation);
            gap = gap.max((found.sum() - truth).abs() / truth.max(1.0));
        }
        error = error.max(world.missed(&run)?);
        let traced = search.run(&run, &world.start(), setting.progress)?;
        let places = |path: Option<&nissl_trace::transcoder_paths::Path>| -> Vec<_> {
            path.map(|path| {
                path.steps[1..].iter().map(nissl_trace::transcoder_paths::Step::place).collect()
            })
            .unwrap_or_default()
        };
        let chain = world.places();
        let mut ranked = traced.of_length(3);
        first += usize::from(places(ranked.next()) == chain);
        other += usize::from(places(ranked.next()) == chain);

        let bare = World::plant(seed, CircuitNorms::Absent, &folder("absent"))?;
        let [attributed, uncapped, truth] = bare.ablated(setting)?;
        cost = cost.max((attributed - truth).abs() / truth.abs().max(1.0));
        raw = raw.max((uncapped - truth).abs() / truth.abs().max(1.0));
    }
    findings.bars.bars.extend([
        Bar::new("A: contributions less activation, largest", gap, Bound::AtMost(1e-5)),
        Bar::new("A: error node of an imperfect copy less truth", error, Bound::AtMost(1e-6)),
        Bar::new(
            "A: planted chain ranked first, share",
            first as f64 / NETWORKS as f64,
            Bound::AtLeast(1.0),
        ),
        Bar::new("A: ablation's cost less its attribution, largest", cost, Bound::AtMost(1e-5)),
        Bar::new("A: the same by raw attribution", raw, Bound::AtLeast(0.1)).with_note("must fail"),
    ]);
    let table = Table::new("Planted networks", ["what", "figure"])
        .with_row([Cell::text("networks"), Cell::Number(NETWORKS as f64)])
        .with_row([
            Cell::text("active features whose contributions were added up"),
            Cell::Number(active as f64),
        ])
        .with_row([Cell::text("chain ranked first"), Cell::Number(first as f64)])
        .with_row([Cell::text("chain ranked second"), Cell::Number(other as f64)]);
    findings.sections.push(
        Section::new("A: known transcoders")
            .says(
                "In each network of two layers a token is read by a head, the head's output by \
                 feature 17 of the first MLP, and that by feature 40 of the second; the rest is \
                 random, with four features of a hundred active. The MLPs are transcoders \
                 themselves, so embedding, heads, features and biases must add up to every \
                 activation, and the search from feature 40 must come back to the token.",
            )
            .with(Note::how_to_read(
                "What taking feature 17 out costs feature 40 is measured in networks without norms, \
                 where it moves along one path alone. Raw attribution says more than a ReLU can lose.",
            ))
            .with(table),
    );
    Ok(())
}

/// A planted network.
struct World {
    network: Language,
    weights: CheckpointWeights,
    chain: Chain,
}

impl World {
    fn plant(seed: u64, norms: CircuitNorms, folder: &Path) -> Result<Self> {
        let planted = PlantedCircuit { seed, norms, ..PlantedCircuit::default() }.plant()?;
        planted.save(folder)?;
        let network = Language::load(folder, "planted", &Device::flex())?;
        let weights = CheckpointWeights::open(folder)?;
        Ok(Self { network, weights, chain: planted.chain })
    }

    /// Each MLP as its own transcoder.
    fn transcoders(&self) -> Result<Vec<Replaced>> {
        (0..self.weights.layers()).map(|layer| neurons(&self.weights, layer)).collect()
    }

    fn start(&self) -> Start {
        let &Chain { features: [_, feature], target: position, .. } = &self.chain;
        Start::Feature { layer: 1, feature, position }
    }

    /// What leads to the start: feature, head, token.
    fn places(&self) -> Vec<(Component, usize)> {
        let chain = &self.chain;
        vec![
            (Component::Feature { layer: 0, feature: chain.features[0] }, chain.target),
            (Component::Head { layer: 0, head: chain.head }, chain.source),
            (Component::Token, chain.source),
        ]
    }

    /// How far the error node of imperfect copies is from what they miss: `v · (MLP − ŷ)`.
    fn missed(&self, truth: &FrozenRun<'_>) -> Result<f64> {
        let mut copies = self.transcoders()?;
        for copy in &mut copies {
            if let Some(decoder) = &mut Arc::make_mut(&mut copy.dictionary).output_decoder {
                for (mut row, factor) in decoder.rows_mut().into_iter().zip(COPY.iter().cycle()) {
                    row *= *factor;
                }
            }
        }
        let wiring = Wiring::new(&self.weights, copies)?;
        let freeze = Freeze { force: true, ..Freeze::default() };
        let run = FrozenRun::new(&wiring, &self.network, &self.chain.prompt, &freeze)?;
        let target = run.feature(1, self.chain.target, self.chain.features[1] as usize)?;
        let targets = std::slice::from_ref(&target);
        let written = |run: &FrozenRun<'_>| -> Vec<(f64, f64)> {
            let sum = |features: &Vec<(u32, f64)>| features.iter().map(|(_, value)| value).sum();
            let found = run.contributions(targets);
            found.iter().flat_map(|c| c.features.iter().map(sum).zip(c.errors.clone())).collect()
        };
        let (whole, copied) = (written(truth), written(&run));
        let gap = |((whole, _), (copied, error)): (&(f64, f64), &(f64, f64))| {
            (error - (whole - copied)).abs()
        };
        Ok(whole.iter().zip(&copied).map(gap).fold(0.0, f64::max))
    }

    /// What taking the first feature out costs the second: by zero-ablation attribution, by raw
    /// attribution, and in truth.
    fn ablated(&self, setting: &Setting<'_>) -> Result<[f64; 3]> {
        let wiring = Wiring::new(&self.weights, self.transcoders()?)?;
        let run = FrozenRun::new(&wiring, &self.network, &self.chain.prompt, &Freeze::default())?;
        let place = self.places().swap_remove(0);
        let by = |worth: Worth| -> Result<f64> {
            let search = TranscoderPaths { worth, iterations: 1, ..TranscoderPaths::default() };
            let traced = search.run(&run, &self.start(), setting.progress)?;
            let mut steps = traced.paths.iter().filter_map(|path| path.steps.get(1));
            Ok(steps.find(|step| step.place() == place).map_or(f64::NAN, |step| step.contribution))
        };
        let cost = self.second(Taps::none())? - self.second(self.without_first()?)?;
        Ok([by(Worth::ZeroAblation)?, by(Worth::Raw)?, cost])
    }

    fn without_first(&self) -> Result<Taps<'static>> {
        let selection = Selection {
            samples: None,
            positions: Positions::These(vec![self.chain.target]),
            units: Some(vec![self.chain.features[0] as usize]),
        };
        let edit = Edit::new("layers.0.mlp.act".parse()?, Change::Set(0.0)).on(selection);
        Ok(Taps::none().edit(edit))
    }

    /// The activation of the chain's second feature.
    fn second(&self, taps: Taps<'_>) -> Result<f64> {
        let mut seen: Option<Tensor<3>> = None;
        let mut taps = taps.read("layers.1.mlp.act".parse()?, |_, x| seen = Some(x.clone()));
        self.network.forward(&TokenBatch::new(&[&self.chain.prompt])?, &mut taps)?;
        drop(taps);
        let [place, unit] = [self.chain.target, self.chain.features[1] as usize];
        let seen = seen.ok_or_else(|| Error::setting("site", "not reached", "layers.1.mlp.act"))?;
        let value: f32 =
            seen.narrow(1, place, 1).narrow(2, unit, 1).reshape([1]).into_scalar::<f32>();
        Ok(f64::from(value))
    }
}
