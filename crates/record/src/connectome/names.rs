//! Names of cells in published connectomes: neurons under their usual names, and what else there is.

use serde::Serialize;

use crate::worm::{neuron, slot};

/// What a name of a connectome stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CellKind {
    /// One of the 300 neurons.
    Neuron,
    /// CANL or CANR, which have no slot.
    Can,
    /// A muscle, also one that is not told from others.
    Muscle,
    /// A gland cell.
    Gland,
    /// A glial cell.
    Glia,
    /// Another cell or tissue, such as the hypodermis.
    Organ,
    /// A neuron in a spelling that is left as it is, such as `VB01`.
    Padded,
    /// No cell that we know.
    Unknown,
}

impl CellKind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Neuron => "neuron",
            Self::Can => "CAN neuron",
            Self::Muscle => "muscle",
            Self::Gland => "gland",
            Self::Glia => "glia",
            Self::Organ => "other tissue",
            Self::Padded => "zero-padded name",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether names with zeros before their number are read as the neurons they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// `VB01` is VB1.
    Removed,
    /// `VB01` is no neuron.
    Kept,
}

/// A name as it was read: the slot of the neuron, or what else it is.
pub(super) fn resolve(name: &str, padding: Padding) -> Result<usize, CellKind> {
    if let Some(slot) = slot(name) {
        return Ok(slot);
    }
    if neuron(name).is_some() {
        return Err(CellKind::Can);
    }
    if let Some(clean) = unpadded(name)
        && let Some(slot) = slot(&clean)
    {
        return if padding == Padding::Removed { Ok(slot) } else { Err(CellKind::Padded) };
    }
    Err(other(name))
}

/// The name without zeros before its number; none when there are none.
fn unpadded(name: &str) -> Option<String> {
    let at = name.find(|c: char| c.is_ascii_digit())?;
    let (stem, number) = name.split_at(at);
    let bare = number.trim_start_matches('0');
    (!stem.is_empty()
        && bare.len() < number.len()
        && bare.starts_with(|c: char| c.is_ascii_digit()))
    .then(|| format!("{stem}{bare}"))
}

/// What a name is that is no neuron, by the ways in which the published tables write them.
fn other(name: &str) -> CellKind {
    let lower = name.to_ascii_lowercase();
    let digit_after = |prefix: &str| {
        lower
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let body_wall = ["mdl", "mdr", "mvl", "mvr"].into_iter().any(digit_after);
    let muscles = ["pm", "vm", "um"].into_iter().any(digit_after);
    let words = ["bwm", "muscle", "mu_", "nmj", "sph", "mvulva", "manal"];
    if body_wall || muscles || words.iter().any(|word| lower.contains(word)) {
        // The sheath of CEP has `sh` only, so that no glia is taken for the sphincter.
        return CellKind::Muscle;
    }
    if digit_after("g") || lower == "exc_gl" {
        return CellKind::Gland;
    }
    if lower.starts_with("glr") || lower.starts_with("cepsh") {
        return CellKind::Glia;
    }
    let tissue = ["hyp", "int", "exc_cell", "bm", "hmc", "intestine", "excgl", "exccell"];
    if ["e", "mc"].into_iter().any(digit_after) || tissue.contains(&lower.as_str()) {
        return CellKind::Organ;
    }
    CellKind::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_names_are_neurons_unless_they_are_left() {
        let vb1 = slot("VB1");
        assert_eq!(resolve("VB01", Padding::Removed).ok(), vb1);
        assert_eq!(resolve("VB01", Padding::Kept), Err(CellKind::Padded));
        assert_eq!(resolve("VA10", Padding::Removed).ok(), slot("VA10"));
        assert_eq!(resolve("VA010", Padding::Removed).ok(), slot("VA10"));
        assert_eq!(resolve("VB0", Padding::Removed), Err(CellKind::Unknown));
        assert_eq!(resolve("AVAL", Padding::Kept).ok(), slot("AVAL"));
    }

    #[test]
    fn what_is_no_neuron_is_told_by_kind() {
        for (name, kind) in [
            ("CANL", CellKind::Can),
            ("LegacyBodyWallMuscles", CellKind::Muscle),
            ("dBWML12", CellKind::Muscle),
            ("MDL08", CellKind::Muscle),
            ("pm4VL", CellKind::Muscle),
            ("mu_sph", CellKind::Muscle),
            ("g1AR", CellKind::Gland),
            ("exc_gl", CellKind::Gland),
            ("GLRDL", CellKind::Glia),
            ("CEPshVR", CellKind::Glia),
            ("hyp", CellKind::Organ),
            ("mc2V", CellKind::Organ),
            ("e3D", CellKind::Organ),
            ("AVQX", CellKind::Unknown),
            ("", CellKind::Unknown),
        ] {
            assert_eq!(resolve(name, Padding::Removed), Err(kind), "{name}");
        }
    }
}
