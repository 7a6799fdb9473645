//! The 302 neurons of the hermaphrodite: names, slots, classes, types, transmitters, positions.
//!
//! A slot is the place of a neuron among the 300 that remain without CANL and CANR, sorted as byte
//! strings (`AS1`, `AS10`, `AS11`, `AS2`, …).
//!
//! Source: the table of neurons of `openworm/c302` (MIT), of owmeta and the Virtual Worm.
//! Memory: 302 rows, parsed once.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// One neuron of the hermaphrodite.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron {
    /// Its name, such as `AVAL`.
    pub label: String,
    /// Its place among the 300, 0 to 299; none for CANL and CANR.
    pub slot: Option<usize>,
    /// Its class, such as `AVA`, `VB` or `SMD`.
    pub class: String,
    /// What it does: `sensory`, `interneuron`, `motor` or several of them; maybe `unknown`.
    pub types: Vec<String>,
    /// Its transmitters, such as `Acetylcholine`; maybe none.
    pub transmitters: Vec<String>,
    /// Where its body lies, in millimetres; the long axis of the body is the second.
    pub position: [f32; 3],
    /// The diameter of its body, in millimetres.
    pub diameter: f32,
}

/// How names of neurons that belong together become one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Merge {
    /// AVAL and AVAR become AVA.
    LeftRight,
    /// Left, right, dorsal and ventral: SMDDL, SMDDR, SMDVL and SMDVR become SMD.
    DorsalVentral,
    /// Also numbers: VB1 to VB11 become VB.
    Class,
}

impl Merge {
    /// The merged name of the neuron `label`; names that are no neurons stay as they are.
    pub fn name(self, label: &str) -> String {
        let Some(neuron) = neuron(label) else { return label.to_owned() };
        match self {
            Self::DorsalVentral if numbered(label).is_some() => label.to_owned(),
            Self::DorsalVentral | Self::Class => neuron.class.clone(),
            Self::LeftRight => {
                let known = |name: &str| neuron_by(name).is_some();
                without_side(label, &known).unwrap_or(label).to_owned()
            }
        }
    }
}

/// All 302 neurons, sorted by their names as byte strings.
pub fn neurons() -> &'static [Neuron] {
    &TABLE.neurons
}

/// The neuron called `label`, which must be written as in the table (`VB1`, not `VB01`).
pub fn neuron(label: &str) -> Option<&'static Neuron> {
    neuron_by(label).map(|at| &TABLE.neurons[at])
}

/// The slot of the neuron called `label`, 0 to 299.
pub fn slot(label: &str) -> Option<usize> {
    neuron(label).and_then(|neuron| neuron.slot)
}

/// The names of the 300 neurons in the order of their slots.
pub fn slots() -> &'static [&'static str] {
    static SLOTS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let with_slot = neurons().iter().filter(|neuron| neuron.slot.is_some());
        with_slot.map(|neuron| neuron.label.as_str()).collect()
    });
    &SLOTS
}

fn neuron_by(label: &str) -> Option<usize> {
    TABLE.by_label.get(label).copied()
}

struct Neurons {
    neurons: Vec<Neuron>,
    by_label: HashMap<String, usize>,
}

static TABLE: LazyLock<Neurons> = LazyLock::new(|| {
    let rows: Vec<Vec<&str>> = include_str!("neurons_302.csv")
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .filter(|row: &Vec<&str>| row.len() == 8)
        .collect();
    let mut labels: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    labels.sort_unstable();
    let number = |text: &str| text.parse::<f32>().unwrap_or(f32::NAN) / 1000.0;
    let list = |text: &str| -> Vec<String> {
        text.split(';').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let mut sorted = rows.clone();
    sorted.sort_unstable_by_key(|row| row[0]);
    let mut next = 0;
    let neurons: Vec<Neuron> = sorted
        .iter()
        .map(|row| {
            let slot = (row[1] == "1").then_some(next);
            next += usize::from(slot.is_some());
            Neuron {
                label: row[0].to_owned(),
                slot,
                class: class_of(row[0], &labels),
                types: list(row[2]),
                transmitters: list(row[3]),
                position: [number(row[4]), number(row[5]), number(row[6])],
                diameter: number(row[7]),
            }
        })
        .collect();
    let by_label = neurons.iter().enumerate().map(|(at, n)| (n.label.clone(), at)).collect();
    Neurons { neurons, by_label }
});

/// The class of a neuron: its name without number, side, and dorsal or ventral.
fn class_of(label: &str, labels: &[&str]) -> String {
    let known = |name: &str| labels.binary_search(&name).is_ok();
    if let Some(class) = numbered(label) {
        return class.to_owned();
    }
    // Two classes have members without a counterpart on the other side.
    for class in ["RME", "SAB"] {
        if label.starts_with(class) {
            return class.to_owned();
        }
    }
    let Some(stem) = without_side(label, &known) else { return label.to_owned() };
    for (here, there) in [('D', 'V'), ('V', 'D')] {
        if let Some(class) = stem.strip_suffix(here)
            && known(&format!("{class}{there}L"))
            && known(&format!("{class}{there}R"))
        {
            return class.to_owned();
        }
    }
    stem.to_owned()
}

/// The class of a motor neuron of the ventral cord, which has a number.
fn numbered(label: &str) -> Option<&str> {
    let class = label.trim_end_matches(|c: char| c.is_ascii_digit());
    let cord = ["AS", "DA", "DB", "DD", "VA", "VB", "VC", "VD"];
    (class.len() < label.len() && cord.contains(&class)).then_some(class)
}

/// The name without L or R, when there is a neuron of the same name on the other side.
fn without_side<'a>(label: &'a str, known: &impl Fn(&str) -> bool) -> Option<&'a str> {
    [('L', 'R'), ('R', 'L')].into_iter().find_map(|(here, there)| {
        label.strip_suffix(here).filter(|stem| known(&format!("{stem}{there}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_302_neurons_and_300_slots_in_byte_order() {
        assert_eq!(neurons().len(), 302);
        assert_eq!(slots().len(), 300);
        assert!(slots().is_sorted());
        assert_eq!((slot("ADAL"), slot("VD9"), slot("CANL")), (Some(0), Some(299), None));
        assert!(slot("AS10") < slot("AS2"), "numbers sort as text");
        for (at, label) in slots().iter().enumerate() {
            assert_eq!(slot(label), Some(at));
        }
        assert!(neuron("CANL").is_some() && neuron("VB01").is_none());
    }

    #[test]
    fn there_are_118_classes_as_in_the_atlas() {
        let mut classes: Vec<&str> = neurons().iter().map(|n| n.class.as_str()).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), 118, "{classes:?}");
    }

    #[test]
    fn classes_keep_single_neurons_whose_names_end_like_a_side() {
        let class = |label: &str| neuron(label).map(|n| n.class.as_str());
        for (label, expected) in [
            ("AVAL", "AVA"),
            ("AVL", "AVL"),
            ("PVR", "PVR"),
            ("RID", "RID"),
            ("RIVL", "RIV"),
            ("AVDR", "AVD"),
            ("SMDVR", "SMD"),
            ("IL2DL", "IL2"),
            ("IL1R", "IL1"),
            ("RMDL", "RMD"),
            ("RMEV", "RME"),
            ("SABD", "SAB"),
            ("VB11", "VB"),
            ("I1L", "I1"),
            ("M5", "M5"),
        ] {
            assert_eq!(class(label), Some(expected), "{label}");
        }
    }

    #[test]
    fn merging_goes_as_far_as_it_says() {
        let names = |label: &str| {
            [Merge::LeftRight, Merge::DorsalVentral, Merge::Class].map(|merge| merge.name(label))
        };
        assert_eq!(names("SMDDL"), ["SMDD", "SMD", "SMD"]);
        assert_eq!(names("VB1"), ["VB1", "VB1", "VB"]);
        assert_eq!(names("AVAR"), ["AVA", "AVA", "AVA"]);
        assert_eq!(names("muscle"), ["muscle", "muscle", "muscle"]);
    }

    #[test]
    fn positions_are_millimetres() {
        let adal = neuron("ADAL").expect("there");
        assert!((adal.position[1] + 0.239_25).abs() < 1e-6, "{:?}", adal.position);
        assert!((adal.diameter - 0.002_104).abs() < 1e-5);
        assert_eq!(adal.types, ["interneuron"]);
        assert_eq!(adal.transmitters, ["Glutamate"]);
    }
}
