//! Rotary position embedding: pairs of a head's units turn with the position.
//!
//! `(x₁, x₂) → (x₁ cos φ − x₂ sin φ, x₂ cos φ + x₁ sin φ)` with `φ = position · f`, where unit `i`
//! of the first half turns with unit `i` of the second, and `f_i = θ^(−2i / turned)`.
//!
//! Source: Su et al. 2021, arXiv:2104.09864, §3.2; `llama3` scaling: the Llama 3.1 release.
//! Left out: `dynamic`, `yarn` and `longrope` scaling, which the loader refuses.

use burn::tensor::{Device, Tensor, TensorData};
use nissl_core::Result;

use super::config::Config;

/// The frequencies of a network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rotary {
    /// Radians a position, one for each pair; units past the pairs do not turn.
    frequencies: Vec<f32>,
}

/// Cosines and sines `[1, 1, position, pair]` of a run's positions.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotary {
    /// The frequencies that `config.json` describes, for heads of `width` units.
    ///
    /// `theta` and `fraction` are what older files of the family call base and turned fraction.
    pub(crate) fn read(config: &Config, width: usize, theta: &str, fraction: &str) -> Result<Self> {
        let new = config.section("rope_parameters")?;
        let number = |key: &str, old: &str, default: f64| match &new {
            Some(new) if new.has(key) => new.number_or(key, default),
            _ => config.number_or(old, default),
        };
        let base = number("rope_theta", theta, 10_000.0)?;
        let fraction = number("partial_rotary_factor", fraction, 1.0)?;
        if !(base > 1.0 && fraction > 0.0 && fraction <= 1.0) {
            let found = format!("base {base}, fraction {fraction}");
            return Err(config.wrong(theta, found, "a base above 1 and a fraction in (0, 1]"));
        }
        let turned = ((width as f64 * fraction) as usize / 2 * 2).max(2);
        let plain = (0..turned / 2).map(|i| base.powf(-2.0 * i as f64 / turned as f64));
        let scaling = match new {
            Some(new) => Some(new),
            None => config.section("rope_scaling")?,
        };
        let Some(scaling) = scaling else {
            return Ok(Self { frequencies: plain.map(|f| f as f32).collect() });
        };
        let kind = if scaling.has("type") { "type" } else { "rope_type" };
        let frequencies = match scaling.text_or(kind, "default")? {
            "default" => plain.map(|f| f as f32).collect(),
            "linear" => {
                let factor = scaling.positive("factor")?;
                plain.map(|f| (f / factor) as f32).collect()
            }
            "llama3" => {
                let bands = Bands::read(&scaling)?;
                plain.map(|f| bands.scale(f) as f32).collect()
            }
            other => {
                return Err(scaling.wrong(kind, other, "`default`, `linear` or `llama3`"));
            }
        };
        Ok(Self { frequencies })
    }

    /// The turns of `positions` positions from `first` on.
    pub(crate) fn turns(&self, first: usize, positions: usize, device: &Device) -> Turns {
        let angles = |f: fn(f32) -> f32| {
            let values: Vec<f32> = (first..first + positions)
                .flat_map(|position| {
                    self.frequencies.iter().map(move |frequency| f(position as f32 * frequency))
                })
                .collect();
            let shape = [1, 1, positions, self.frequencies.len()];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Turns { cos: angles(f32::cos), sin: angles(f32::sin) }
    }
}

impl Turns {
    /// Turns queries or keys `[batch, head, position, unit]`.
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, _, units] = x.dims();
        let [_, _, _, pairs] = self.cos.dims();
        let first = x.clone().narrow(3, 0, pairs);
        let second = x.clone().narrow(3, pairs, pairs);
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        let mut parts = vec![
            first.clone() * cos.clone() - second.clone() * sin.clone(),
            second * cos + first * sin,
        ];
        if units > 2 * pairs {
            parts.push(x.narrow(3, 2 * pairs, units - 2 * pairs));
        }
        Tensor::cat(parts, 3)
    }
}

/// Llama 3's rule: long waves are slowed by `factor`, short ones kept, those between blended.
struct Bands {
    factor: f64,
    low: f64,
    high: f64,
    trained: f64,
}

impl Bands {
    fn read(scaling: &Config) -> Result<Self> {
        let bands = Self {
            factor: scaling.positive("factor")?,
            low: scaling.positive("low_freq_factor")?,
            high: scaling.positive("high_freq_factor")?,
            trained: scaling.positive("original_max_position_embeddings")?,
        };
        if bands.high <= bands.low {
            return Err(scaling.wrong("high_freq_factor", bands.high, "above `low_freq_factor`"));
        }
        Ok(bands)
    }

    fn scale(&self, frequency: f64) -> f64 {
        // Turns made within the trained context.
        let turns = self.trained * frequency / std::f64::consts::TAU;
        let kept = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("config.json", text.as_bytes()).expect("JSON")
    }

    #[test]
    fn products_depend_on_the_distance_only() {
        let rotary = Rotary::read(&config("{}"), 8, "rope_theta", "rotary_pct").expect("defaults");
        let device = Device::flex();
        let row: Vec<f32> = (0..8).map(|i| (i as f32 * 0.7).sin()).collect();
        let x = Tensor::<4>::from_data(TensorData::new(row, [1, 1, 1, 8]), &device);
        let at = |position| rotary.turns(position, 1, &device).apply(x.clone());
        let product = |a, b| (at(a) * at(b)).sum().into_scalar::<f32>();
        assert!((product(3, 5) - product(13, 15)).abs() < 1e-5);
        assert!((product(3, 5) - product(3, 6)).abs() > 1e-3);
    }

    #[test]
    fn llama3_keeps_short_waves_and_slows_long_ones() {
        let bands = Bands { factor: 8.0, low: 1.0, high: 4.0, trained: 64.0 };
        assert!((bands.scale(1.0) - 1.0).abs() < 1e-12);
        assert!((bands.scale(0.001) - 0.001 / 8.0).abs() < 1e-12);
        let between = bands.scale(0.2);
        assert!(between < 0.2 && between > 0.2 / 8.0);
    }

    #[test]
    fn an_unknown_scaling_is_refused() {
        let yarn = config(r#"{"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}"#);
        let error = Rotary::read(&yarn, 8, "rope_theta", "rotary_pct").expect_err("yarn");
        assert!(error.to_string().contains("yarn"), "{error}");
    }
}
