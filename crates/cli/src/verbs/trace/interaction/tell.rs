//! What `nissl trace interaction` found, as tables or JSON.

use clap::ValueEnum;
use nissl_core::progress::significant;
use nissl_core::{Result, Table};
use nissl_trace::interaction::{EdgeMatrix, Measure, Required};
use nissl_trace::leiden::Communities;

use super::{Found, InteractionArgs};
use crate::Context;

/// Edges above 0 that do not come from the constant.
pub(super) fn real(edges: &EdgeMatrix) -> Vec<f64> {
    let all = edges.weights.indexed_iter();
    let real = all.filter(|((_, from), weight)| edges.constant != Some(*from) && **weight > 0.0);
    real.map(|(_, &weight)| weight).collect()
}

pub(super) fn show(
    args: &InteractionArgs,
    found: &Found,
    split: &[(Communities, Table)],
    context: &Context<'_>,
) -> Result<()> {
    for warning in &found.bases.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    if context.printer.is_json() {
        return json(args, found, split, context);
    }
    let count = |it: Option<usize>| it.map_or_else(|| "more".to_owned(), |it| it.to_string());
    let mut headers = vec!["from", "to", ">vectors", ">edges", ">largest"];
    if args.ablate {
        headers.extend([">vectors needed", ">edges needed"]);
    }
    if args.beside_pca {
        headers.insert(0, "basis");
    }
    let basis = args.basis.basis.to_possible_value().map(|it| it.get_name().to_owned());
    let of = |name: &str, edges: &[EdgeMatrix], required: &[Required]| -> Vec<Vec<String>> {
        let rows = edges.iter().enumerate().map(|(layer, edges)| {
            let sizes = real(edges);
            let mut row = vec![
                edges.from.clone(),
                edges.to.clone(),
                edges.weights.ncols().to_string(),
                sizes.len().to_string(),
                significant(sizes.iter().copied().fold(0.0, f64::max)),
            ];
            if args.beside_pca {
                row.insert(0, name.to_owned());
            }
            if let Some(needs) = required.get(layer) {
                row.extend([count(needs.vectors), count(needs.edges)]);
            }
            row
        });
        rows.collect()
    };
    let mut rows = of(&basis.unwrap_or_default(), &found.edges, &found.required);
    if let Some((edges, required)) = &found.beside {
        rows.extend(of("pca", edges, required));
    }
    context.printer.table(&headers, &rows);
    if let Some(needs) = found.required.first() {
        let what = match args.ablation.measure {
            Measure::Accuracy => "accuracy",
            Measure::CrossEntropy => "cross-entropy",
        };
        let full = significant(needs.full);
        let cost = significant(args.ablation.tolerance);
        context.printer.note(&format!(
            "{what} of the whole network {full}, which may worsen by {cost}; edges from the constant are free"
        ));
    }
    let rows: Vec<Vec<String>> = args
        .resolution
        .iter()
        .zip(split)
        .map(|(gamma, (communities, table))| {
            let sizes = table.u32s("size")?;
            let spans = table.u32s("node_layers")?;
            let several = spans.iter().filter(|span| **span > 1).count();
            let largest: Vec<String> = sizes.iter().take(6).map(u32::to_string).collect();
            Ok(vec![
                gamma.to_string(),
                sizes.len().to_string(),
                several.to_string(),
                largest.join(" "),
                significant(communities.modularity),
            ])
        })
        .collect::<Result<_>>()?;
    let headers = [">resolution", ">modules", ">over several layers", "largest", ">modularity"];
    context.printer.table(&headers, &rows);
    curves(found, context);
    if let Some(folder) = &args.output {
        context.printer.note(&format!("graph with modules in {}", folder.display()));
    }
    if let Some(file) = &args.html {
        context.printer.note(&format!("drawing in {}", file.display()));
    }
    Ok(())
}

/// What was tried of vectors and edges, where a schedule gives a curve.
fn curves(found: &Found, context: &Context<'_>) {
    let rows = found.required.iter().flat_map(|needs| {
        let curves = [("vectors", &needs.vector_curve), ("edges", &needs.edge_curve)];
        curves.into_iter().filter(|(_, curve)| !curve.is_empty()).map(|(what, curve)| {
            // The end of the curve, where it falls.
            let last = curve.iter().rev().take(8).rev();
            let points = last.map(|it| format!("{}: {}", it.kept, significant(it.score)));
            vec![needs.node_layer.clone(), what.to_owned(), points.collect::<Vec<_>>().join("  ")]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        context.printer.table(&["from", "kept", "the last that were tried"], &rows);
    }
}

fn json(
    args: &InteractionArgs,
    found: &Found,
    split: &[(Communities, Table)],
    context: &Context<'_>,
) -> Result<()> {
    let edges = found.edges.iter().map(|edges| {
        let sizes = real(edges);
        serde_json::json!({
            "from": edges.from, "to": edges.to,
            "vectors": [edges.weights.ncols(), edges.weights.nrows()],
            "edges": sizes.len(), "largest": sizes.iter().copied().fold(0.0, f64::max),
            "sum": sizes.iter().sum::<f64>(),
        })
    });
    let modules = args.resolution.iter().zip(split).map(|(gamma, (communities, table))| {
        Ok(serde_json::json!({
            "resolution": gamma, "modularity": communities.modularity,
            "size": table.u32s("size")?, "node_layers": table.u32s("node_layers")?,
        }))
    });
    let beside = found.beside.as_ref().map(|it| &it.1);
    context.printer.json(&serde_json::json!({
        "beside_pca": beside, "labels": found.labels,
        "path": args.output, "samples": found.bases.samples, "warnings": found.bases.warnings,
        "edges": edges.collect::<Vec<_>>(), "required": found.required,
        "modules": modules.collect::<Result<Vec<_>>>()?,
    }))
}
