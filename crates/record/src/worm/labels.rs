//! Names of neurons, cleaned: which columns are which of the 300.
//!
//! 1. no name, `merge`, or other than letters and digits: unlabelled, named by its column;
//! 2. zeros that pad a number go (`DB01` is DB1; names that end in 0, as `VA10`, stay);
//! 3. not among the 300: unlabelled;
//! 4. a second column of the same name is left out and reported;
//! 5. `?` for an unknown side: the free neuron with most letters in equal places, the first in order
//!    among equals; the label is then inferred.
//!
//! Source: Simeon et al. 2024, arXiv:2411.12091, and the code published with it.
//! Differs: names equal only without zeros overwrite each other there; here the first stays, and the
//! other is reported. A guess keeps all letters in order, so that a third `AVA?` does not become AVBL.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::neurons::{slot, slots};
use super::raw::LeftOut;

/// How sure a name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// As in the file.
    Given,
    /// A part of the name was guessed: a side, or dorsal or ventral.
    Inferred,
    /// The neuron has no name.
    #[default]
    None,
}

impl Confidence {
    /// Its name, as tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Inferred => "inferred",
            Self::None => "none",
        }
    }
}

/// What a laboratory's names mean where rules differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// Rules 1 to 5.
    #[default]
    Plain,
    /// As Leifer 2023: a repeated name is unlabelled; a class without side is left, then right.
    ClassesAreSides,
}

/// One column with its cleaned name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The row among those that were given.
    pub row: usize,
    /// The neuron, or the column as a decimal number.
    pub name: String,
    /// The place among the 300.
    pub slot: Option<usize>,
    /// How sure the name is.
    pub confidence: Confidence,
}

/// Cleans the names `raw` of the columns `columns`; gives the columns that stay, in order, and those
/// that do not.
///
pub fn clean(
    raw: &[Option<String>],
    columns: &[usize],
    naming: Naming,
    rules: Rules,
) -> (Vec<Label>, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let mut report = |row: usize, reason: String| {
        let label = raw[row].clone().unwrap_or_default();
        left_out.push(LeftOut { column: columns[row], label, reason });
    };
    let plain: Vec<Option<String>> = raw.iter().map(|raw| known(raw.as_deref())).collect();
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut names: Vec<Option<String>> = vec![None; raw.len()];
    let mut gone: HashSet<usize> = HashSet::new();
    for row in 0..raw.len() {
        let side =
            || (naming == Naming::ClassesAreSides).then(|| sided(raw[row].as_deref(), &taken));
        let Some(name) = plain[row].clone().or_else(|| side().flatten()) else { continue };
        let Some(&earlier) = taken.get(&name) else {
            taken.insert(name.clone(), row);
            names[row] = Some(name);
            continue;
        };
        if naming == Naming::ClassesAreSides {
            continue;
        }
        let overwrites =
            rules == Rules::Reference && raw[row] != raw[earlier] && raw[row] > raw[earlier];
        let (kept, dropped) = if overwrites { (row, earlier) } else { (earlier, row) };
        report(dropped, format!("{name} again; column {} is kept", columns[kept]));
        gone.insert(dropped);
        if overwrites {
            names[dropped] = None;
            names[row] = Some(name.clone());
            taken.insert(name, row);
        }
    }
    let mut free: BTreeSet<&str> =
        slots().iter().copied().filter(|label| !taken.contains_key(*label)).collect();
    let mut inferred = HashSet::new();
    for row in 0..raw.len() {
        let Some(guess) = raw[row].as_deref().and_then(|raw| guess(raw, &free, rules)) else {
            continue;
        };
        free.remove(guess);
        names[row] = Some(guess.to_owned());
        inferred.insert(row);
    }
    let labels = (0..raw.len()).filter(|row| !gone.contains(row)).map(|row| {
        let confidence = match &names[row] {
            None => Confidence::None,
            Some(_) if inferred.contains(&row) => Confidence::Inferred,
            Some(_) => Confidence::Given,
        };
        let slot = names[row].as_deref().and_then(slot);
        let name = names[row].clone().unwrap_or_else(|| columns[row].to_string());
        Label { row, name, slot, confidence }
    });
    (labels.collect(), left_out)
}

/// Whether the defects of the published code are mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// They are.
    #[default]
    Corrected,
    /// They are made again: the last of names equal but for zeros wins, and any guess is taken.
    Reference,
}

/// The neuron that a raw name is, by rules 1 to 3.
pub fn known(raw: Option<&str>) -> Option<String> {
    let raw = raw?.trim();
    if raw.is_empty() || raw == "merge" || !raw.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let name = unpadded(raw);
    slot(&name).is_some().then_some(name)
}

/// The name without zeros that pad its number: `DB01` is `DB1`, `VA10` stays.
pub fn unpadded(name: &str) -> String {
    let numeric = name.chars().all(|c| c.is_ascii_digit());
    if name.ends_with('0') || numeric { name.to_owned() } else { name.replace('0', "") }
}

/// The first side of a class that is still free: `AVA` is AVAL, then AVAR.
fn sided(raw: Option<&str>, taken: &HashMap<String, usize>) -> Option<String> {
    let raw = unpadded(raw?.trim());
    ["L", "R"]
        .map(|side| format!("{raw}{side}"))
        .into_iter()
        .find(|name| slot(name).is_some() && !taken.contains_key(name))
}

/// The free neuron with most letters equal to those of `raw` without its question marks.
fn guess<'a>(raw: &str, free: &BTreeSet<&'a str>, rules: Rules) -> Option<&'a str> {
    if !raw.contains('?') {
        return None;
    }
    let rest = unpadded(&raw.trim().replace('?', ""));
    let keeps_letters = |name: &str| {
        let mut letters = name.chars();
        rest.len() > 1 && rest.chars().all(|wanted| letters.any(|letter| letter == wanted))
    };
    let equal = |name: &str| name.bytes().zip(rest.bytes()).filter(|(a, b)| a == b).count();
    // Among equals the first in order wins, so the maximum is sought from the end.
    let candidates = free.iter().rev().copied();
    let fits = |name: &&str| rules == Rules::Reference || keeps_letters(name);
    candidates.filter(fits).max_by_key(|name| equal(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(raw: &[&str], naming: Naming) -> (Vec<String>, Vec<usize>) {
        let raw: Vec<Option<String>> =
            raw.iter().map(|name| (*name != "-").then(|| (*name).to_owned())).collect();
        let columns: Vec<usize> = (0..raw.len()).collect();
        let (labels, gone) = clean(&raw, &columns, naming, Rules::Corrected);
        let names = labels.into_iter().map(|label| label.name).collect();
        (names, gone.into_iter().map(|gone| gone.column).collect())
    }

    #[test]
    fn rule_1_what_is_no_name_is_a_number() {
        let (names, gone) = cleaned(&["-", "merge", "", "AVA/B", "AVAL", "12"], Naming::Plain);
        assert_eq!(names, ["0", "1", "2", "3", "AVAL", "5"]);
        assert!(gone.is_empty());
    }

    #[test]
    fn rule_2_padding_goes_and_tens_stay() {
        for (raw, name) in [("DB01", "DB1"), ("VA10", "VA10"), ("VB02", "VB2"), ("AS010", "AS010")]
        {
            assert_eq!(unpadded(raw), name);
        }
        assert_eq!(unpadded("105"), "105", "a number is no padded name");
        assert_eq!(cleaned(&["DB01", "VA10"], Naming::Plain).0, ["DB1", "VA10"]);
    }

    #[test]
    fn rule_3_only_the_300_are_labels() {
        assert_eq!(cleaned(&["CANL", "XYZ", "RID"], Naming::Plain).0, ["0", "1", "RID"]);
    }

    #[test]
    fn rule_4_the_first_of_equal_names_stays() {
        let (names, gone) = cleaned(&["AVAL", "RID", "AVAL"], Naming::Plain);
        assert_eq!((names, gone), (vec!["AVAL".to_owned(), "RID".to_owned()], vec![2]));
        // Equal only without zeros.
        let (names, gone) = cleaned(&["VB2", "VB02"], Naming::Plain);
        assert_eq!((names, gone), (vec!["VB2".to_owned()], vec![1]));
    }

    #[test]
    fn rule_4_the_published_code_lets_the_last_overwrite() {
        let raw = ["VB02", "VB2"].map(|name| Some(name.to_owned()));
        let (labels, gone) = clean(&raw, &[0, 1], Naming::Plain, Rules::Reference);
        assert_eq!((labels[0].row, gone[0].column), (1, 0));
        let (labels, gone) = clean(&raw, &[0, 1], Naming::Plain, Rules::Corrected);
        assert_eq!((labels[0].row, gone[0].column), (0, 1));
        // Names that are equal as written are no matter of zeros: the first stays in both.
        let same = ["VB2", "VB2"].map(|name| Some(name.to_owned()));
        assert_eq!(clean(&same, &[0, 1], Naming::Plain, Rules::Reference).0[0].row, 0);
    }

    #[test]
    fn rule_4_classes_are_sides_where_the_laboratory_says_so() {
        let raw = ["AVA", "AVA", "AVA", "RID", "RID", "AVBR"];
        let (names, gone) = cleaned(&raw, Naming::ClassesAreSides);
        assert_eq!(names, ["AVAL", "AVAR", "2", "RID", "4", "AVBR"]);
        assert!(gone.is_empty(), "a repeated name is unlabelled, not left out");
        assert_eq!(cleaned(&["AVA"], Naming::Plain).0, ["0"], "elsewhere a class is no neuron");
    }

    #[test]
    fn rule_5_a_question_mark_becomes_the_nearest_free_neuron() {
        let raw = ["AVA?", "AVAL", "SMD?L", "?", "RM?", "AVA?"].map(|name| Some(name.to_owned()));
        let columns: Vec<usize> = (0..raw.len()).collect();
        let (labels, _) = clean(&raw, &columns, Naming::Plain, Rules::Corrected);
        let names: Vec<&str> = labels.iter().map(|label| label.name.as_str()).collect();
        // AVAL is taken by a sure name, so the first is AVAR, and for the last none is left.
        assert_eq!(names, ["AVAR", "AVAL", "SMDDL", "3", "RMDDL", "5"]);
        assert_eq!(labels[0].confidence, Confidence::Inferred);
        assert_eq!(labels[1].confidence, Confidence::Given);
        assert_eq!(labels[3].confidence, Confidence::None);
        let (reference, _) = clean(&raw, &columns, Naming::Plain, Rules::Reference);
        assert_eq!(reference[5].name, "ADAR", "the published code guesses another class");
    }
}
