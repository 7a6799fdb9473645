//! Which components act during which stimulus.
//!
//! Fraction of the component's mass inside the windows of a stimulus, `Σ_w f_w Σ_{t inside} f_t / Σ_w f_w Σ_t
//! f_t`; `z` against all circular shifts of its time course, whose mean is the expected fraction.
//!
//! Source: Dyballa et al. 2024, arXiv:2402.14102, §4.
//! Memory: one table.

use std::path::Path;

use nissl_core::components::TensorComponents;
use nissl_core::store::write_bytes;
use nissl_core::{Column, Result, Table};

/// How a component goes with a stimulus.
#[derive(Clone, Debug, PartialEq)]
pub struct AtlasRow {
    /// The component.
    pub component: usize,
    /// The stimulus.
    pub stimulus: String,
    /// The fraction of its mass inside, 0 to 1.
    pub fraction: f64,
    /// That to be expected of a time course that has nothing to do with the stimulus.
    pub expected: f64,
    /// How far above, in standard deviations of the shifts; NaN where shifts change nothing.
    pub z: f64,
}

/// Every component with every stimulus.
pub fn atlas(components: &TensorComponents) -> Vec<AtlasRow> {
    let mut stimuli: Vec<&str> = components.windows.iter().map(|w| w.name.as_str()).collect();
    stimuli.sort_unstable();
    stimuli.dedup();
    let bins = components.seconds.len();
    let mut rows = Vec::new();
    for component in 0..components.rank() {
        let course: Vec<f64> =
            components.times.column(component).iter().map(|&x| f64::from(x)).collect();
        let animals = components.animals.column(component);
        let weight = animals.iter().map(|&x| f64::from(x)).sum::<f64>();
        let whole = weight * course.iter().sum::<f64>();
        for stimulus in &stimuli {
            // How much of the component's animals is inside at each bin.
            let mut inside = vec![0.0; bins];
            for (animal, &share) in animals.iter().enumerate() {
                let mut on = vec![false; bins];
                for window in
                    components.windows.iter().filter(|w| w.animal == animal && w.name == **stimulus)
                {
                    for (on, &time) in on.iter_mut().zip(&components.seconds) {
                        *on |= (window.start..window.end).contains(&time);
                    }
                }
                for (inside, on) in inside.iter_mut().zip(on) {
                    *inside += if on { f64::from(share) } else { 0.0 };
                }
            }
            let shifted = |by: usize| -> f64 {
                let places = inside.iter().enumerate();
                places.map(|(at, inside)| inside * course[(at + by) % bins]).sum::<f64>() / whole
            };
            let all: Vec<f64> = (0..bins).map(shifted).collect();
            let expected = all.iter().sum::<f64>() / bins as f64;
            let variance = all.iter().map(|x| (x - expected).powi(2)).sum::<f64>() / bins as f64;
            let fraction = all.first().copied().unwrap_or(f64::NAN);
            let z =
                if variance > 1e-18 { (fraction - expected) / variance.sqrt() } else { f64::NAN };
            let stimulus = (*stimulus).to_owned();
            rows.push(AtlasRow { component, stimulus, fraction, expected, z });
        }
    }
    rows
}

/// The atlas as a table: `component` u32, `stimulus` string, `fraction`, `expected`, `z` f64.
pub fn atlas_table(rows: &[AtlasRow]) -> Table {
    let numbers = |of: fn(&AtlasRow) -> f64| Column::F64(rows.iter().map(of).collect());
    Table::new()
        .with("component", Column::U32(rows.iter().map(|row| row.component as u32).collect()))
        .with("stimulus", Column::Text(rows.iter().map(|row| row.stimulus.clone()).collect()))
        .with("fraction", numbers(|row| row.fraction))
        .with("expected", numbers(|row| row.expected))
        .with("z", numbers(|row| row.z))
}

/// Writes the atlas as CSV.
///
/// # Errors
/// A failed file operation.
pub fn write_atlas(rows: &[AtlasRow], path: &Path) -> Result<()> {
    let mut text = String::from("component,stimulus,fraction,expected,z\n");
    for AtlasRow { component, stimulus, fraction, expected, z } in rows {
        let stimulus = if stimulus.contains([',', '"', '\n']) {
            format!("\"{}\"", stimulus.replace('"', "\"\""))
        } else {
            stimulus.clone()
        };
        let line = format!("{component},{stimulus},{fraction:.6},{expected:.6},{z:.4}\n");
        text.push_str(&line);
    }
    write_bytes(path, text.as_bytes())
}
