//! Part D: wiring from activity of many worms, in each of which only half of the neurons are named.

use ndarray::Array2;
use nissl_core::stats::auroc::auroc;
use nissl_core::{Graph, Result};
use nissl_trace::pooled_dynamics::PooledDynamics;
use nissl_worlds::worm::WormWorld;

use crate::report::{Bar, Bound, Score, ScoreBars, ScoreRow, Section};
use crate::study::{Findings, Setting};

const WORMS: usize = 30;
const SAMPLES: usize = 1500;

pub(super) fn wiring_from_activity(
    setting: &Setting<'_>,
    connectome: &Graph,
    findings: &mut Findings,
) -> Result<()> {
    let world = WormWorld {
        worms: WORMS,
        samples: SAMPLES,
        gap: 0.0,
        labelled_least: 0.4,
        labelled_most: 0.6,
        seed: setting.seed,
        ..WormWorld::default()
    };
    let wiring = world.wiring(connectome)?;
    let truth = planted(connectome)?;
    let stage = setting.progress.stage("worms", WORMS as u64, "worms");
    let mut worms: Vec<Array2<f32>> = Vec::with_capacity(WORMS);
    for number in 0..WORMS {
        setting.progress.check(|| format!("{number} worms"))?;
        worms.push(world.simulate(&wiring, number).activity);
        stage.advance(1);
    }
    let method = PooledDynamics::default();
    let pooled = method.fit(worms.iter().map(|worm| worm.view()))?;
    let found = score(&pooled.coupling, &truth);
    let correlation = score(&pooled.correlation, &truth);
    let mut single: f64 = 0.0;
    let mut singles = Vec::with_capacity(WORMS);
    for worm in &worms {
        let alone = score(&method.fit([worm.view()])?.coupling, &truth);
        single = single.max(alone);
        singles.push(alone);
    }
    let zeros: Vec<Array2<f32>> =
        worms.iter().map(|worm| worm.mapv(|v| if v.is_nan() { 0.0 } else { v })).collect();
    let unmasked = score(&method.fit(zeros.iter().map(|worm| worm.view()))?.coupling, &truth);
    let bars = &mut findings.bars.bars;
    bars.push(
        Bar::new("AUROC of synapses from activity, 30 worms", found, Bound::AtLeast(0.93))
            .with_note("AUROC of the size of a coupling for a planted synapse"),
    );
    let above = |name: &str, than: f64, least: f64| {
        Bar::new(name, found - than, Bound::AtLeast(least))
            .with_note(format!("{found:.3} and {than:.3}"))
    };
    bars.push(above("coupling above correlation, AUROC", correlation, 0.04));
    bars.push(above("30 worms above the best single one, AUROC", single, 0.05));
    bars.push(above("missing neurons left out above taken as zero, AUROC", unmasked, 0.02));
    let row = |name: &str, value: f64| ScoreRow::new(name, Score::new(value).with_baseline(0.5));
    let mean = singles.iter().sum::<f64>() / singles.len() as f64;
    let scores = ScoreBars::new("Synapses found in activity", "AUROC")
        .with_row(row("30 worms, coupling", found))
        .with_row(row("30 worms, correlation", correlation))
        .with_row(row("best single worm", single))
        .with_row(row("single worms, mean", mean))
        .with_row(row("30 worms, missing taken as zero", unmasked));
    let section = Section::new("Wiring from the activity of many worms")
        .says(
            "Thirty worms with the synapses of White 1986 are simulated; in each only 40 to 60 % of the \
             neurons are named. Covariances of pairs are taken over the worms in which both are named.",
        )
        .with(scores);
    findings.sections.push(section);
    Ok(())
}

/// Which synapses there are `[to, from]`, among the nodes of the connectome in order.
fn planted(connectome: &Graph) -> Result<Array2<bool>> {
    let nodes = connectome.nodes().rows();
    let mut truth = Array2::from_elem((nodes, nodes), false);
    let edges = connectome.edges();
    let (sources, targets) = (edges.u32s("source")?, edges.u32s("target")?);
    let kinds = edges.texts("type")?;
    for edge in (0..edges.rows()).filter(|&edge| kinds[edge] == "chemical") {
        truth[[connectome.row(targets[edge])?, connectome.row(sources[edge])?]] = true;
    }
    Ok(truth)
}

/// AUROC of the sizes off the diagonal; pairs without a value are left out.
fn score(found: &Array2<f64>, truth: &Array2<bool>) -> f64 {
    let pairs = found.indexed_iter().filter(|((to, from), value)| to != from && value.is_finite());
    let (scores, labels): (Vec<f32>, Vec<bool>) =
        pairs.map(|(at, value)| (value.abs() as f32, truth[at])).unzip();
    auroc(&scores, &labels)
}
