//! Connections that stand one a row.
//!
//! Of Varshney's table the sends are read, monadic (S) and polyadic (Sp), and the gap junctions (EJ);
//! what is received (R, Rp) mirrors the sends, and NMJ are no neurons.
//! Source: the headers of the published tables.

use std::collections::BTreeMap;
use std::path::Path;

use nissl_core::{Error, Result};

use super::Quirks;
use super::grid::Grid;
use super::reading::{EdgeKind, Reading, Readings};
use super::source::Form;
use crate::import::is_missing;

const SYNAPSES: [&str; 4] = ["pre", "post", "type", "synapses"];
const VARSHNEY: [&str; 4] = ["Neuron 1", "Neuron 2", "Type", "Nbr"];
const OPENWORM: [&str; 4] = ["Origin", "Target", "Type", "Number of Connections"];
const EDGES: [&str; 4] = ["Source", "Target", "Type", "Weight"];
const PAIRS: [&str; 3] = ["pre", "post", "weight"];
const CONSENSUS: [&str; 4] = ["from_neuron", "to_neuron", "mean_gap_weight", "mean_chem_weight"];

/// The form of a list, by its header; none when it is no list that we know.
pub(super) fn form(grid: &Grid) -> Option<Form> {
    let is = |names: [&str; 4]| grid.columns(names).is_some();
    if is(CONSENSUS) {
        Some(Form::Consensus)
    } else if is(SYNAPSES) {
        Some(Form::Synapses)
    } else if is(VARSHNEY) {
        Some(Form::Varshney)
    } else if is(OPENWORM) {
        Some(Form::Openworm)
    } else if is(EDGES) {
        Some(Form::EdgeList)
    } else {
        grid.columns(PAIRS).map(|_| Form::Pairs)
    }
}

/// Reads a list of `form`.
pub(super) fn read(grid: &Grid, form: Form, quirks: Quirks, into: &mut Readings) -> Result<()> {
    match form {
        Form::Synapses => {
            typed(grid, SYNAPSES, into, |_, text| Ok(EdgeKind::parse(text).map(|k| (k, 0))))
        }
        Form::Openworm => {
            typed(grid, OPENWORM, into, |_, text| Ok(EdgeKind::parse(text).map(|k| (k, 0))))
        }
        Form::EdgeList => {
            typed(grid, EDGES, into, |_, text| Ok(EdgeKind::parse(text).map(|k| (k, 0))))
        }
        Form::Varshney => typed(grid, VARSHNEY, into, |out, text| {
            Ok(match text {
                "S" if quirks == Quirks::Reference => {
                    *out += 1;
                    None
                }
                "S" => Some((EdgeKind::Chemical, 0)),
                "Sp" => Some((EdgeKind::Chemical, 1)),
                "EJ" => Some((EdgeKind::Electrical, 0)),
                "R" | "Rp" | "NMJ" => {
                    *out += 1;
                    None
                }
                _ => return Err("S, Sp, R, Rp, EJ or NMJ"),
            })
        }),
        Form::Pairs => pairs(grid, into),
        _ => consensus(grid, into),
    }
}

/// A kind and part for a type, none for rows to leave out (which are then counted), or what was
/// expected.
type Typed = Result<Option<(EdgeKind, u8)>, &'static str>;

fn typed(
    grid: &Grid,
    names: [&str; 4],
    into: &mut Readings,
    kind_of: impl Fn(&mut usize, &str) -> Typed,
) -> Result<()> {
    let Some([from, to, kind, weight]) = grid.columns(names) else {
        return Err(absent(grid, &names));
    };
    for row in 1..grid.rows.len() {
        if blank(grid, row) {
            continue;
        }
        let text = grid.cell(row, kind).text();
        let place = grid.place(names[2], row);
        let left_out = into.left_out;
        let found = kind_of(&mut into.left_out, &text)
            .map_err(|expected| place.error(format!("`{text}`"), expected))?;
        let (kind, part) = match found {
            Some(found) => found,
            None if into.left_out > left_out => continue,
            None => (place.kind(&text)?, 0),
        };
        let cell = grid.cell(row, weight);
        let weight = grid.place(names[3], row).weight(cell.number(), &cell.text(), kind)?;
        let [from, to] = ends(grid, row, [from, to], [names[0], names[1]])?;
        into.all.push(Reading { from, to, kind, weight, part });
    }
    Ok(())
}

/// The names at both ends.
fn ends(grid: &Grid, row: usize, columns: [usize; 2], names: [&str; 2]) -> Result<[String; 2]> {
    let end = |place: usize| {
        let text = grid.cell(row, columns[place]).text();
        if text.is_empty() {
            return Err(grid.place(names[place], row).error("empty", "the name of a cell"));
        }
        Ok(text)
    };
    Ok([end(0)?, end(1)?])
}

fn pairs(grid: &Grid, into: &mut Readings) -> Result<()> {
    let Some([from, to, weight]) = grid.columns(PAIRS) else {
        return Err(absent(grid, &PAIRS));
    };
    let stem = grid
        .path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().to_lowercase());
    let kinds = [
        ("chem", EdgeKind::Chemical),
        ("gap", EdgeKind::Electrical),
        ("elec", EdgeKind::Electrical),
        ("func", EdgeKind::Functional),
        ("monoamine", EdgeKind::Monoamine),
        ("peptide", EdgeKind::Neuropeptide),
    ];
    let Some(&(_, kind)) = kinds.iter().find(|(word, _)| stem.contains(word)) else {
        let expected = "chemical, gap, functional, monoamine or peptide in the name of the file";
        return Err(Error::file(&grid.path, "type", "absent", expected)
            .with_help("rename the file, or add a column `type` and call `weight` `synapses`"));
    };
    into.symmetric |= kind == EdgeKind::Electrical && stem.contains("symmetric");
    for row in 1..grid.rows.len() {
        if blank(grid, row) {
            continue;
        }
        let cell = grid.cell(row, weight);
        let weight = grid.place("weight", row).weight(cell.number(), &cell.text(), kind)?;
        let [from, to] = ends(grid, row, [from, to], ["pre", "post"])?;
        into.all.push(Reading { from, to, kind, weight, part: 0 });
    }
    Ok(())
}

fn consensus(grid: &Grid, into: &mut Readings) -> Result<()> {
    let Some([from, to, gap, chemical]) = grid.columns(CONSENSUS) else {
        return Err(absent(grid, &CONSENSUS));
    };
    let mut columns = vec![
        (gap, CONSENSUS[2], EdgeKind::Electrical),
        (chemical, CONSENSUS[3], EdgeKind::Chemical),
    ];
    let more = ["functional_weight", "mean_monoamine_weight", "mean_neuropeptide_weight"];
    for (name, kind) in more.into_iter().zip(&EdgeKind::ALL[2..]) {
        columns.extend(grid.columns([name]).map(|[column]| (column, name, *kind)));
    }
    for row in 1..grid.rows.len() {
        if blank(grid, row) {
            continue;
        }
        let [source, target] = ends(grid, row, [from, to], [CONSENSUS[0], CONSENSUS[1]])?;
        for &(column, name, kind) in &columns {
            let cell = grid.cell(row, column);
            let text = cell.text();
            if is_missing(&text) {
                continue;
            }
            let weight = grid.place(name, row).weight(cell.number(), &text, kind)?;
            let (from, to) = (source.clone(), target.clone());
            into.all.push(Reading { from, to, kind, weight, part: 0 });
        }
    }
    into.symmetric = true;
    Ok(())
}

fn blank(grid: &Grid, row: usize) -> bool {
    grid.rows[row].iter().all(|cell| cell.text().is_empty())
}

fn absent(grid: &Grid, names: &[&str]) -> Error {
    Error::file(&grid.path, "header", grid.header().join(", "), names.join(", "))
}

/// What no reader knows, with what it looks like.
pub(super) fn unknown(path: &Path, grids: &[Grid]) -> Error {
    let seen: BTreeMap<&str, String> =
        grids.iter().map(|grid| (grid.sheet.as_str(), grid.header().join(", "))).collect();
    let shown: Vec<String> = seen
        .iter()
        .map(|(sheet, header)| {
            let header: String = header.chars().take(80).collect();
            if sheet.is_empty() { header } else { format!("sheet `{sheet}`: {header}") }
        })
        .collect();
    let expected = "the header of a published connectome";
    Error::file(path, "header", shown.join("; "), expected).with_help(format!(
        "known are {}; {}; {}; {}; {}; {}; workbooks of Cook 2019 and of funconn, JSON of WormWideWeb, \
         GraphML and NeuroML",
        SYNAPSES.join(", "),
        VARSHNEY.join(", "),
        OPENWORM.join(", "),
        EDGES.join(", "),
        PAIRS.join(", "),
        CONSENSUS.join(", ")
    ))
}
