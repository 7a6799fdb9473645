//! Connections as matrices on sheets: those of Cook 2019 and the atlas of Randi 2023.
//!
//! Cook: names in the third row and the third column, numbers from the fourth on. Atlas: the first
//! sheet has amplitudes, the second their significance, both with names in the first row and column;
//! a row acts on the columns, and amplitudes with q below the bound count.
//! Source: SI 5 of Cook et al. 2019; the workbook of Randi et al. 2023 as its homogenised form reads it.

use nissl_core::{Error, Result};

use super::grid::{Cell, Grid};
use super::reading::{EdgeKind, Reading, Readings};

/// Whether the sheets are matrices of Cook 2019.
pub(super) fn is_cook(grids: &[Grid]) -> bool {
    let mut named = grids.iter().map(|grid| grid.sheet.to_ascii_lowercase());
    named
        .any(|name| name.contains("herm") && (name.contains("chemical") || name.contains("gap jn")))
}

/// Reads the sheets of the hermaphrodite.
pub(super) fn cook(grids: &[Grid], into: &mut Readings) -> Result<()> {
    let sheet = |wanted: &dyn Fn(&str) -> bool| {
        grids.iter().find(|grid| {
            let name = grid.sheet.to_ascii_lowercase();
            name.contains("herm") && wanted(&name)
        })
    };
    let chemical = sheet(&|name| name.contains("chemical"));
    let gap = sheet(&|name| {
        name.contains("gap jn") && name.contains("symmetric") && !name.contains("asymmetric")
    });
    let (Some(chemical), Some(gap)) = (chemical, gap) else {
        let names: Vec<&str> = grids.iter().map(|grid| grid.sheet.as_str()).collect();
        let path = grids.first().map_or_else(Default::default, |grid| grid.path.clone());
        let expected = "`hermaphrodite chemical` and `hermaphrodite gap jn symmetric`";
        return Err(Error::file(path, "sheets", names.join(", "), expected));
    };
    into.symmetric = true;
    square(chemical, EdgeKind::Chemical, into)?;
    square(gap, EdgeKind::Electrical, into)
}

/// The matrix of one sheet, from the fourth row and column on.
fn square(grid: &Grid, kind: EdgeKind, into: &mut Readings) -> Result<()> {
    const NAMES: usize = 2;
    let width = grid.rows.get(NAMES).map_or(0, Vec::len);
    if width <= NAMES + 1 {
        let expected = "names of cells in the third row, from the fourth column on";
        return Err(grid.place("names", NAMES).error("empty", expected));
    }
    for row in NAMES + 1..grid.rows.len() {
        let from = grid.cell(row, NAMES).text();
        for column in NAMES + 1..width {
            let (to, cell) = (grid.cell(NAMES, column).text(), grid.cell(row, column));
            // Beyond the last name stand sums and notes.
            if from.is_empty() || to.is_empty() || *cell == Cell::Empty {
                continue;
            }
            let place = grid.place(&format!("{from} to {to}"), row);
            let weight = place.weight(cell.number(), &cell.text(), kind)?;
            if weight > 0.0 {
                into.all.push(Reading { from: from.clone(), to, kind, weight, part: 0 });
            }
        }
    }
    Ok(())
}

/// Whether the sheets are amplitudes and their significance.
pub(super) fn is_amplitudes(grids: &[Grid]) -> bool {
    let [amplitude, significance, ..] = grids else { return false };
    let names =
        |grid: &Grid| grid.header().into_iter().skip(1).filter(|name| !name.is_empty()).count();
    let square = |grid: &Grid| grid.rows.len() > 1 && names(grid) > 0;
    square(amplitude)
        && square(significance)
        && amplitude.header().iter().skip(1).eq(significance.header().iter().skip(1))
}

/// Reads amplitudes whose significance is below `bound`.
pub(super) fn amplitudes(grids: &[Grid], bound: f64, into: &mut Readings) -> Result<()> {
    let [amplitude, significance, ..] = grids else {
        let path = grids.first().map_or_else(Default::default, |grid| grid.path.clone());
        let expected = "one of amplitudes and one of their significance";
        return Err(Error::file(path, "sheets", grids.len(), expected));
    };
    let header = amplitude.header();
    if significance.rows.len() < amplitude.rows.len() {
        let expected = format!("{} rows, as in the sheet of amplitudes", amplitude.rows.len());
        return Err(Error::file(
            &significance.path,
            format!("sheet `{}`", significance.sheet),
            format!("{} rows", significance.rows.len()),
            expected,
        ));
    }
    for row in 1..amplitude.rows.len() {
        let from = amplitude.cell(row, 0).text();
        if from.is_empty() {
            continue;
        }
        let other = significance.cell(row, 0).text();
        if other != from {
            return Err(significance
                .place("names", row)
                .error(other, &format!("`{from}`, as in the first sheet")));
        }
        for (column, to) in header.iter().enumerate().skip(1) {
            let q = significance.cell(row, column).number();
            // What was never measured is empty or no number.
            let value = amplitude.cell(row, column).number().filter(|value| value.is_finite());
            if let (Some(q), Some(weight)) = (q, value)
                && q < bound
                && weight != 0.0
                && !to.is_empty()
            {
                let (from, to) = (from.clone(), to.clone());
                into.all.push(Reading { from, to, kind: EdgeKind::Functional, weight, part: 0 });
            } else if value.is_some() {
                into.left_out += 1;
            }
        }
    }
    Ok(())
}
