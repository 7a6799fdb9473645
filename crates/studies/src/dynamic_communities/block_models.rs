//! Part C: the block model on graphs of its own kind.
//!
//! Sixty nodes in three groups, edges everywhere with probability 0.4, exponential weights whose mean differs
//! within and across groups: the groups lie in the weights alone.

use nissl_core::Result;
use nissl_core::seed::rng;
use nissl_core::stats::agreement::normalized_mutual_information;
use nissl_trace::communities::{BlockModel, WeightedGraph, Weights, louvain};
use rand::RngExt;
use rand_distr::{Distribution, Exp1};

use crate::report::{Bar, Bound};
use crate::study::{Findings, Setting};

const NODES: usize = 60;
const GROUPS: usize = 3;
const PROBABILITY: f64 = 0.4;
const GRAPHS: u64 = 10;

fn graph(seed: u64, [inside, across]: [f64; 2]) -> Result<WeightedGraph> {
    let mut rng = rng(seed, 0xb10c);
    let mut edges = Vec::new();
    for a in 0..NODES {
        for b in a + 1..NODES {
            let weight: f64 = Exp1.sample(&mut rng);
            let mean = if a % GROUPS == b % GROUPS { inside } else { across };
            if rng.random::<f64>() < PROBABILITY {
                edges.push((a, b, mean * weight));
            }
        }
    }
    WeightedGraph::new(NODES, edges)
}

pub(super) fn judge(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let truth: Vec<u32> = (0..NODES).map(|node| (node % GROUPS) as u32).collect();
    let model = BlockModel { seed: setting.seed, ..BlockModel::default() };
    let topology = BlockModel { weights: Weights::None, ..model.clone() };
    let nmi = |groups: &[u32]| normalized_mutual_information(groups, &truth);
    let (mut short, mut alike, mut blind) = ([0, 0], 0, 0.0f64);
    let (mut modular, mut single) = (0.0f64, 0);
    for number in 0..GRAPHS {
        let seed = setting.seed + number;
        for (side, means) in [[4.0, 1.0], [1.0, 4.0]].into_iter().enumerate() {
            let graph = graph(seed, means)?;
            let found = model.fit(&graph, setting.progress)?;
            let planted = model.description_length(&graph, std::slice::from_ref(&truth))?;
            short[side] += usize::from(found.description_length <= planted + 0.01);
            if side == 0 {
                alike += usize::from(nmi(&found.levels[0]) >= 0.85);
                blind = blind.max(nmi(&topology.fit(&graph, setting.progress)?.levels[0]));
            } else {
                let found = louvain(&graph, 1.0, seed)?.of;
                let groups: Vec<u32> = found.iter().map(|&group| group as u32).collect();
                modular = modular.max(nmi(&groups));
            }
        }
        let found = model.fit(&graph(seed, [1.0, 1.0])?, setting.progress)?;
        single += usize::from(found.levels[0].iter().all(|&group| group == 0));
    }
    let bar = |name: &str, value: f64, bound| Bar::new(format!("C: {name}"), value, bound);
    findings.bars.bars.extend([
        bar("graphs described as shortly as planted", short[0] as f64, Bound::AtLeast(9.0)),
        bar("graphs with NMI of 0.85 or more", f64::from(alike as u32), Bound::AtLeast(9.0)),
        bar("NMI without weights, most", blind, Bound::AtMost(0.1)),
        bar("reversed graphs described as shortly", short[1] as f64, Bound::AtLeast(9.0)),
        bar("NMI of modularity on reversed graphs, most", modular, Bound::AtMost(0.1)),
        bar("graphs without structure left whole", f64::from(single as u32), Bound::AtLeast(10.0)),
    ]);
    Ok(())
}
