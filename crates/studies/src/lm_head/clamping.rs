//! Part B: clamping neurons that write known words.

use burn::tensor::Device;
use nissl_core::network::{Part, ResidualWeights};
use nissl_core::{Progress, Result};
use nissl_explain::lm_head::{Class, Decoded, LmHead, classify, decode};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_probe::clamp::{Clamp, ClampReport, Clamped, Unit, clamp};
use nissl_worlds::planted_head::{PlantedHead, PlantedNeuron};

use super::checkpoint;
use super::planted::LEAST_Z;
use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// The value that neurons are held at, and its negative; it moves the written word by three nats.
const HELD: f32 = 1.5;
/// Length of what is written.
const WRITTEN: f32 = 2.0;
/// What the network has read before.
const PROMPT: [u32; 4] = [11, 200, 3, 77];

/// Holds every planted writer at values, and asks what it reads and writes.
pub(super) fn clamping(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let world = PlantedHead {
        planted: 50,
        writers: 50,
        write_strength: WRITTEN,
        noise_row: 0.0,
        seed: setting.seed,
        ..PlantedHead::default()
    };
    let planted = world.weights()?;
    let folder = setting.folder.join("writers");
    checkpoint::write(&folder, &planted, setting.seed)?;
    let network = Language::load(&folder, "writers", &Device::flex())?;
    let weights = CheckpointWeights::open(&folder)?;
    let classes = classes(&weights, &planted.planted, setting.progress)?;

    let last = world.layers - 1;
    let (mut writers, mut ordered, mut others, mut raised) = (0.0, 0.0, 0.0, 0.0);
    let (mut effect, mut control, mut slope) = (0.0, 0.0, 0.0_f64);
    let mut table = Table::new(
        "Some neurons, held",
        ["neuron", "reads", "writes", "p of the written word at −1.5", "at 0", "at 1.5", "class"],
    );
    for (neuron, class) in planted.planted.iter().zip(&classes) {
        let Some(writes) = neuron.writes else { continue };
        let report = held(&network, neuron, &[writes as u32], setting)?;
        let p: Vec<f64> = report.curve.iter().map(|point| point.effect.probability).collect();
        writers += 1.0;
        ordered += f64::from(u8::from(p.windows(2).all(|pair| pair[0] < pair[1])));
        effect += rise(report.curve.iter().map(|point| point.effect.log_probability));
        let of = |control: &nissl_probe::clamp::ControlUnits| {
            rise(control.effects.iter().map(|effect| effect.log_probability))
        };
        control += report.controls.iter().map(of).sum::<f64>() / report.controls.len() as f64;
        if neuron.layer == last {
            let measured = report.slope.map_or(f64::NAN, |slope| slope.frozen);
            slope = slope.max((measured - 1.0).abs());
        }
        if neuron.reads != writes {
            let read = held(&network, neuron, &[neuron.reads as u32], setting)?;
            let rise_of = |report: &ClampReport| {
                rise(report.curve.iter().filter_map(|p| p.effect.logit_change.first().copied()))
            };
            others += 1.0;
            raised += f64::from(u8::from(rise_of(&report) > rise_of(&read).abs()));
        }
        if writers <= 10.0 {
            let mut row = vec![Cell::text(format!("{}:{}", neuron.layer, neuron.neuron))];
            row.extend([neuron.reads, writes].map(|word| Cell::Number(word as f64)));
            row.extend(p.iter().map(|&p| Cell::Number(p)));
            row.push(Cell::text(class.map_or("–", Class::name)));
            table = table.with_row(row);
        }
    }
    let truth = |neuron: &PlantedNeuron| match neuron.writes {
        Some(writes) if writes == neuron.reads => Class::Both,
        Some(_) => Class::Differs,
        None => Class::Reads,
    };
    let told = planted.planted.iter().zip(&classes);
    let told = told.filter(|(neuron, class)| **class == Some(truth(neuron))).count() as f64;
    findings.bars.bars.extend([
        Bar::new(
            "B: writers whose word's probability rises with the value, share",
            ordered / writers,
            Bound::AtLeast(1.0),
        ),
        Bar::new(
            "B: neurons reading one word and writing another that raise the written one, share",
            raised / others,
            Bound::AtLeast(1.0),
        ),
        Bar::new(
            "B: class of reading and writing told rightly, share",
            told / writers,
            Bound::AtLeast(0.95),
        ),
        Bar::new(
            "B: other neurons' effect on the word, share of the writer's",
            (control / effect).abs(),
            Bound::AtMost(0.05),
        )
        .with_note("neurons with write vectors of the same length"),
        Bar::new(
            "B: slope against the linear prediction, last layer, farthest from 1",
            slope,
            Bound::AtMost(1e-3),
        )
        .with_note("with the final norm's scale kept"),
    ]);
    findings.sections.push(
        Section::new("B: clamping")
            .says(format!(
                "{writers} neurons of a gated network write a word; half of them read another one. \
                 Each is held at −{HELD}, 0 and {HELD} while the network reads a prompt."
            ))
            .with(Note::how_to_read(
                "Both: reads and writes the same word. Differs: reads one and writes another.",
            ))
            .with(table),
    );
    Ok(())
}

/// What holding a neuron does to some words.
fn held(
    network: &Language,
    neuron: &PlantedNeuron,
    words: &[u32],
    setting: &Setting<'_>,
) -> Result<ClampReport> {
    let settings =
        Clamp { to: vec![-HELD, 0.0, HELD], samples: 0, seed: setting.seed, ..Clamp::default() };
    let units = [Unit::neuron(neuron.layer, neuron.neuron)];
    let target = Clamped { units: &units, ranges: None, tokens: words, hits: &|_| 0 };
    clamp(network, &PROMPT, target, &settings, setting.progress)
}

/// From the first value to the last.
fn rise(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    match (values.first(), values.last()) {
        (Some(first), Some(last)) => last - first,
        _ => f64::NAN,
    }
}

/// The class of each planted neuron, from the weights alone.
fn classes(
    weights: &dyn ResidualWeights,
    planted: &[PlantedNeuron],
    progress: &Progress,
) -> Result<Vec<Option<Class>>> {
    let settings = LmHead {
        parts: vec![Part::Up, Part::Gate, Part::Down],
        least_z: Some(LEAST_Z),
        ..LmHead::default()
    };
    let mut layers: Vec<Vec<Decoded>> = vec![Vec::new(); weights.layers()];
    decode(weights, &settings, progress, |decoded| {
        for one in decoded {
            layers[one.layer as usize].push(one.clone());
        }
        Ok(())
    })?;
    for layer in &mut layers {
        classify(layer, &settings, &|a, b| a == b);
    }
    let class = |neuron: &PlantedNeuron| {
        let mut rows = layers[neuron.layer].iter();
        rows.find(|one| one.unit as usize == neuron.neuron).and_then(|one| one.class)
    };
    Ok(planted.iter().map(class).collect())
}
