//! What each part of the network, one step above, adds to a target.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis, s};
use nissl_core::features::product;

use super::run::FrozenRun;
use super::target::Target;
use super::wiring::dot;

/// The terms that add up to a target's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contributions {
    /// The embedding of the token at the target's position.
    pub token: f64,
    /// The embedding of the place.
    pub place: f64,
    /// `[layer]`, of those before the target: `[head, source]`.
    pub heads: Vec<Array2<f64>>,
    /// `[layer]`: the active features at the target's position, by number, and what they add.
    pub features: Vec<Vec<(u32, f64)>>,
    /// `[layer]`: what passes through skip connections of dictionaries.
    pub skips: Vec<f64>,
    /// `[layer]`: what the dictionary leaves of the MLP; all of the MLP where there is no dictionary.
    pub errors: Vec<f64>,
    /// `[layer]`: biases of values and of the attention's output.
    pub attention_biases: Vec<f64>,
    /// `[layer]`: what dictionaries always write.
    pub output_biases: Vec<f64>,
    /// Biases of the target's own norm and reader.
    pub constant: f64,
    /// What all of it should come to.
    pub value: f64,
}

impl Contributions {
    /// The sum of all terms.
    pub fn sum(&self) -> f64 {
        self.token + self.place + self.explained() + self.error() + self.bias()
    }

    fn explained(&self) -> f64 {
        let heads: f64 = self.heads.iter().map(|heads| heads.sum()).sum();
        let features: f64 = self.features.iter().flatten().map(|(_, value)| value).sum();
        heads + features + self.skips.iter().sum::<f64>()
    }

    /// What dictionaries leave unexplained, and MLPs without one.
    pub fn error(&self) -> f64 {
        self.errors.iter().sum()
    }

    /// All biases.
    pub fn bias(&self) -> f64 {
        self.attention_biases.iter().sum::<f64>()
            + self.output_biases.iter().sum::<f64>()
            + self.constant
    }

    /// `|sum − value| / |value|`: how far the terms are from complete; 0 for two zeros.
    pub fn gap(&self) -> f64 {
        let gap = (self.sum() - self.value).abs();
        if gap == 0.0 { 0.0 } else { gap / self.value.abs() }
    }

    /// The share of all absolute contributions, biases apart, that errors make, 0 to 1.
    pub fn unexplained(&self) -> f64 {
        let errors: f64 = self.errors.iter().map(|error| error.abs()).sum();
        let heads = self.heads.iter().flatten().map(|value| value.abs()).sum::<f64>();
        let features = self.features.iter().flatten().map(|(_, value)| value.abs()).sum::<f64>();
        let skips = self.skips.iter().map(|value| value.abs()).sum::<f64>();
        let all = errors + heads + features + skips + self.token.abs() + self.place.abs();
        if all > 0.0 { errors / all } else { 0.0 }
    }
}

impl FrozenRun<'_> {
    /// The terms of each of `targets`, one step above it: heads are not looked through.
    pub fn contributions(&self, targets: &[Target]) -> Vec<Contributions> {
        let mut found: Vec<Contributions> = targets
            .iter()
            .map(|target| Contributions {
                token: self.token_rows().row(target.position).dot(&target.vector),
                place: self.place_rows().row(target.position).dot(&target.vector),
                constant: target.constant,
                value: self.value(target),
                ..Contributions::default()
            })
            .collect();
        for layer in 0..self.wiring().layers() {
            self.add_heads(layer, targets, &mut found);
            self.add_mlp(layer, targets, &mut found);
        }
        found
    }

    fn add_heads(&self, layer: usize, targets: &[Target], found: &mut [Contributions]) {
        let chosen: Vec<usize> = (0..targets.len())
            .filter(|&at| self.attention_before(layer, targets[at].depth))
            .collect();
        if chosen.is_empty() {
            return;
        }
        let shape = self.wiring().form().heads;
        let wiring = self.wiring().layer(layer);
        let frozen = self.layer(layer);
        // [target, head · unit]: how much each unit of a head moves each target.
        let along = product(stack(targets, &chosen).view(), wiring.out().t());
        let positions = self.tokens().len();
        for (&at, along) in chosen.iter().zip(along.rows()) {
            let target = &targets[at];
            let after = frozen.after[target.position];
            let mut heads = Array2::zeros((shape.heads, positions));
            let mut bias = 0.0;
            for head in 0..shape.heads {
                let units = head * shape.width..(head + 1) * shape.width;
                let from = shape.key_head(head) * shape.width;
                let along = along.slice(s![units]);
                let values = frozen.values.slice(s![.., from..from + shape.width]).dot(&along);
                let pattern = frozen.pattern.slice(s![head, target.position, ..]);
                let mut row = heads.row_mut(head);
                for ((term, value), &weight) in row.iter_mut().zip(&values).zip(pattern) {
                    *term = f64::from(weight) * value * after;
                }
                if let Some(value_bias) = &wiring.value_bias {
                    let total: f64 = pattern.iter().map(|&weight| f64::from(weight)).sum();
                    bias +=
                        total * after * value_bias.slice(s![from..from + shape.width]).dot(&along);
                }
            }
            if let Some(out_bias) = &wiring.out_bias {
                bias += out_bias.dot(&target.vector) * after;
            }
            found[at].heads.push(heads);
            found[at].attention_biases.push(bias);
        }
    }

    fn add_mlp(&self, layer: usize, targets: &[Target], found: &mut [Contributions]) {
        let frozen = self.layer(layer);
        let dictionary = self.wiring().dictionary(layer);
        let mut by_position: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, target) in targets.iter().enumerate() {
            if layer < target.depth.layer {
                by_position.entry(target.position).or_default().push(at);
            }
        }
        for (position, chosen) in by_position {
            let active = &frozen.active[position];
            let terms = dictionary.filter(|_| !active.is_empty()).map(|dictionary| {
                let mut written = Array2::zeros((active.len(), self.wiring().width()));
                for (mut row, &(feature, value)) in written.rows_mut().into_iter().zip(active) {
                    let decoder = dictionary.written();
                    row.zip_mut_with(&decoder.row(feature as usize), |to, &from| {
                        *to = f64::from(from) * f64::from(value);
                    });
                }
                product(stack(targets, &chosen).view(), written.t())
            });
            for (place, &at) in chosen.iter().enumerate() {
                let vector = &targets[at].vector;
                let one = &mut found[at];
                one.features.push(terms.as_ref().map_or_else(Vec::new, |terms| {
                    let row = terms.row(place);
                    active.iter().zip(row).map(|(&(feature, _), &term)| (feature, term)).collect()
                }));
                let skip = frozen.skip.as_ref();
                one.skips.push(skip.map_or(0.0, |skip| skip.row(position).dot(vector)));
                one.errors.push(frozen.errors.row(position).dot(vector));
                let bias = dictionary.and_then(|dictionary| dictionary.output_bias.as_ref());
                one.output_biases.push(bias.map_or(0.0, |bias| dot(bias.view(), vector.view())));
            }
        }
    }
}

/// The vectors of the chosen targets `[target, residual]`.
fn stack(targets: &[Target], chosen: &[usize]) -> Array2<f64> {
    let width = chosen.first().map_or(0, |&at| targets[at].vector.len());
    let mut out = Array2::zeros((chosen.len(), width));
    for (mut row, &at) in out.axis_iter_mut(Axis(0)).zip(chosen) {
        let vector: &Array1<f64> = &targets[at].vector;
        row.assign(vector);
    }
    out
}
