//! What is told of communities: their members, level by level, and methods side by side.

use nissl_core::Result;
use nissl_core::progress::significant;
use nissl_core::stats::agreement::{adjusted_rand_index, normalized_mutual_information};
use nissl_trace::communities::{Communities, Detector};
use serde_json::{Value, json};

use super::{CommunitiesArgs, Compared, Found};
use crate::Context;

pub(super) fn tell(
    args: &CommunitiesArgs,
    detector: &Detector,
    all: &[Found],
    context: &Context<'_>,
) -> Result<()> {
    if context.printer.is_json() {
        let graphs: Vec<Value> = all.iter().map(|found| document(detector, found)).collect();
        return context.printer.json(&json!({ "path": args.output, "graphs": graphs }));
    }
    for found in all {
        summary(detector, found, context);
        groups(args, found, context);
        if args.compare {
            comparison(detector, found, context);
        }
    }
    if let Some(folder) = &args.output {
        context.printer.note(&format!(
            "graph with its communities in {} · its table is communities.parquet",
            folder.display()
        ));
    }
    Ok(())
}

fn title(found: &Found) -> String {
    found.subject.component.map_or_else(String::new, |number| format!("component {number}: "))
}

fn summary(detector: &Detector, found: &Found, context: &Context<'_>) {
    let communities = &found.communities;
    let counts: Vec<String> =
        (0..communities.levels.len()).map(|level| communities.count(level).to_string()).collect();
    let several = if communities.count(0) == 1 { "" } else { "s" };
    let mut says = format!(
        "{}{} nodes with an edge, {} without; {} finds {} group{several}, {} {}",
        title(found),
        communities.nodes.len(),
        communities.background().len(),
        detector.method.name(),
        counts.join(" in "),
        communities.score.name,
        figure(communities.score.value),
    );
    if communities.blocks.as_ref().is_some_and(|blocks| blocks.is_degree_corrected) {
        says = format!("{says}, degree-corrected");
    }
    if communities.contrast.contrast.is_finite() && communities.count(0) > 1 {
        says = format!(
            "{says}; a pair within a group weighs {} on average, one between groups {}",
            significant(communities.contrast.within),
            significant(communities.contrast.between)
        );
    }
    context.printer.note(&says);
    if let Some(truth) = truth(found, communities) {
        context.printer.note(&format!(
            "beside the known communities: NMI {:.3} at the first level, {:.3} at the nearest, adjusted Rand index {:.3}",
            truth.first, truth.best, truth.rand
        ));
    }
}

/// A figure of which differences matter: six digits.
fn figure(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.2}") } else { format!("{value:.4}") }
}

fn groups(args: &CommunitiesArgs, found: &Found, context: &Context<'_>) {
    let communities = &found.communities;
    let has_levels = communities.levels.len() > 1;
    let is_drawn = communities.posterior.is_some();
    let mut headers = vec![">group", ">nodes", "members"];
    if has_levels {
        headers.insert(0, ">level");
    }
    if is_drawn {
        headers.insert(headers.len() - 1, ">mean confidence");
    }
    let mut rows = Vec::new();
    for level in 0..communities.levels.len() {
        for group in 0..communities.count(level) as u32 {
            let inside: Vec<usize> = (0..communities.nodes.len())
                .filter(|&place| communities.levels[level][place] == group)
                .collect();
            let mut row = vec![group.to_string(), inside.len().to_string()];
            if has_levels {
                row.insert(0, level.to_string());
            }
            if is_drawn {
                let sum: f64 = inside.iter().map(|&place| communities.marginal(level, place)).sum();
                row.push(format!("{:.3}", sum / inside.len() as f64));
            }
            row.push(members(args, found, level, &inside));
            rows.push(row);
        }
    }
    context.printer.table(&headers, &rows);
}

/// Names of nodes, or above the first level the groups below.
fn members(args: &CommunitiesArgs, found: &Found, level: usize, inside: &[usize]) -> String {
    let communities = &found.communities;
    let mut names: Vec<String> = if level == 0 {
        let name = |&place: &usize| found.subject.names[communities.nodes[place]].clone();
        inside.iter().map(name).collect()
    } else {
        let mut below: Vec<u32> =
            inside.iter().map(|&place| communities.levels[level - 1][place]).collect();
        below.sort_unstable();
        below.dedup();
        below.into_iter().map(|group| format!("group {group}")).collect()
    };
    let more = names.len().saturating_sub(args.limit);
    names.truncate(args.limit);
    let mut told = names.join(", ");
    if more > 0 {
        told = format!("{told} and {more} more");
    }
    told
}

/// Likeness to known communities.
struct Truth {
    first: f64,
    best: f64,
    rand: f64,
}

fn truth(found: &Found, communities: &Communities) -> Option<Truth> {
    let known = found.subject.truth.as_ref()?;
    let known: Vec<u32> = communities.nodes.iter().map(|&node| known[node]).collect();
    let alike = |level: &Vec<u32>| normalized_mutual_information(level, &known);
    let first = communities.levels.first()?;
    Some(Truth {
        first: alike(first),
        best: communities.levels.iter().map(alike).fold(0.0, f64::max),
        rand: adjusted_rand_index(first, &known),
    })
}

fn comparison(detector: &Detector, found: &Found, context: &Context<'_>) {
    let is_known = found.subject.truth.is_some();
    let like = format!(">NMI to {}", detector.method.name());
    let mut headers = vec![
        "method",
        ">groups",
        "score",
        ">value",
        ">description (nats)",
        ">within/all",
        like.as_str(),
    ];
    if is_known {
        headers.extend([">NMI to truth", ">at the nearest level"]);
    }
    let first = &found.communities.levels[0];
    let mut rows = Vec::new();
    for Compared { method, found: other } in &found.compared {
        match other {
            Ok((communities, length)) => {
                let mut row = vec![
                    method.name().to_owned(),
                    communities.count(0).to_string(),
                    communities.score.name.to_owned(),
                    figure(communities.score.value),
                    figure(*length),
                    significant(communities.contrast.contrast),
                    format!("{:.3}", normalized_mutual_information(&communities.levels[0], first)),
                ];
                if let Some(truth) = truth(found, communities) {
                    row.extend([format!("{:.3}", truth.first), format!("{:.3}", truth.best)]);
                }
                rows.push(row);
            }
            Err(error) => context.printer.note(&format!("{} left out: {error}", method.name())),
        }
    }
    context.printer.table(&headers, &rows);
}

fn document(detector: &Detector, found: &Found) -> Value {
    let communities = &found.communities;
    let confidence = communities.posterior.as_ref().map(|_| {
        let places = 0..communities.nodes.len();
        places.map(|place| communities.marginal(0, place)).collect::<Vec<f64>>()
    });
    let of = |communities: &Communities| {
        json!({
            "groups": communities.count(0), "levels": communities.levels,
            "score": communities.score, "contrast": communities.contrast,
            "truth": truth(found, communities).map(|truth| json!({
                "nmi": truth.first, "nmi_of_nearest_level": truth.best,
                "adjusted_rand_index": truth.rand,
            })),
        })
    };
    let names: Vec<&String> =
        communities.nodes.iter().map(|&node| &found.subject.names[node]).collect();
    let mut document = of(communities);
    document["method"] = json!(detector.method);
    document["component"] = json!(found.subject.component);
    document["nodes"] = json!(names);
    document["background"] = json!(communities.background().len());
    document["confidence"] = json!(confidence);
    if let Some(blocks) = &communities.blocks {
        document["description_length"] = json!(blocks.description_length);
        document["degree_corrected"] = json!(blocks.is_degree_corrected);
        document["restarts"] = json!(blocks.restarts);
    }
    if let Some(drawn) = &communities.posterior {
        document["posterior_groups"] = json!(drawn.groups);
    }
    if !found.compared.is_empty() {
        let compared = found.compared.iter().map(|Compared { method, found: other }| match other {
            Ok((communities, length)) => {
                let mut told = of(communities);
                told["method"] = json!(method);
                told["description_length"] = json!(length);
                told
            }
            Err(error) => json!({ "method": method, "error": error.to_string() }),
        });
        document["compared"] = compared.collect();
    }
    document
}
