//! The graph with its communities, and their table.

use std::path::Path;

use nissl_core::graph::Graph;
use nissl_core::store::Provenance;
use nissl_core::{Column, Result, Table};
use nissl_trace::communities::{BACKGROUND, Detector};

use super::{CommunitiesArgs, Found};
use crate::Context;

/// Writes `folder`: the node columns `community`, `community_1` and so on for the levels above,
/// `background`, and `confidence` where the posterior was drawn; and the table `communities.parquet`.
pub(super) fn save(
    folder: &Path,
    args: &CommunitiesArgs,
    detector: &Detector,
    (base, all): (&Graph, &[Found]),
    context: &Context<'_>,
) -> Result<()> {
    let rows = base.nodes().rows();
    let levels = all.iter().map(|found| found.communities.levels.len()).max().unwrap_or(0);
    let mut nodes = base.nodes().clone();
    for level in 0..levels {
        let mut community = vec![0; rows];
        for found in all {
            let communities = &found.communities;
            // A graph with fewer levels than others stays as its last one is.
            let level = level.min(communities.levels.len().saturating_sub(1));
            let alone = communities.count(level) as u32;
            for (node, group) in communities.groups(level).into_iter().enumerate() {
                let group = if group == BACKGROUND { alone } else { group };
                community[found.subject.first + node] = group;
            }
        }
        let name = if level == 0 { "community".to_owned() } else { format!("community_{level}") };
        nodes = nodes.with(name, Column::U32(community));
    }
    let mut background = vec![false; rows];
    let mut confidence = vec![f64::NAN; rows];
    let mut table = Table::new();
    for found in all {
        let (subject, communities) = (&found.subject, &found.communities);
        for node in communities.background() {
            background[subject.first + node] = true;
        }
        for (place, &node) in communities.nodes.iter().enumerate() {
            confidence[subject.first + node] = communities.marginal(0, place);
        }
        let number = subject.component.unwrap_or(0);
        table.append(communities.table(number, &subject.numbers, &subject.names))?;
    }
    nodes = nodes.with("background", Column::Bool(background));
    if detector.samples > 0 {
        nodes = nodes.with("confidence", Column::F64(confidence));
    }
    let graph = Graph::new(nodes, base.edges().clone(), base.orientation())?;
    let settings = serde_json::json!({
        "method": "communities", "detector": detector, "edge_type": args.edge_type,
        "absolute": args.absolute, "component": args.component, "threshold": args.threshold,
    });
    let provenance =
        Provenance::here(&settings, context.global.seed, "cpu").with_input(&args.input)?;
    graph.save(folder, provenance, context.global.existing())?;
    table.write(&folder.join("communities.parquet"))
}
