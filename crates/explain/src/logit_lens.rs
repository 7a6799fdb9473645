//! What a feature pushes the next token towards, read from the weights alone.
//!
//! `f = z W_out`, `ℓ± = unembed(norm(± f / ‖z‖))`: the residual direction of a feature of MLP units
//! (a direction of the residual stream is its own), through the final norm and the unembedding;
//! the tokens of greatest `ℓ` for either sign. Features over several sites add up.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, output descriptions; nostalgebraist 2020.
//! Differs: the bias of the down projection is left out, since a direction has none.
//! Memory: the map of each layer, and logits of at most 16 Mi values.

use burn::tensor::{Tensor, TensorData};
use ndarray::{Array2, ArrayView2};
use nissl_core::features::{Annotation, Features};
use nissl_core::network::{FinalNorm, LanguageNetwork, require_site};
use nissl_core::{Column, Error, Progress, Result, Site, Table};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Hyperparameters of the logit lens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct LogitLens {
    /// Tokens shown for each sign, 1 or more
    #[arg(long, default_value_t = LogitLens::default().tokens)]
    pub tokens: usize,
    /// What stands between a direction and the vocabulary: apply, gain or skip
    #[arg(long, default_value = "apply", value_parser = parse_norm)]
    pub norm: FinalNorm,
}

impl Default for LogitLens {
    fn default() -> Self {
        Self { tokens: 25, norm: FinalNorm::Apply }
    }
}

fn parse_norm(text: &str) -> Result<FinalNorm, String> {
    match text {
        "apply" => Ok(FinalNorm::Apply),
        "gain" => Ok(FinalNorm::Gain),
        "skip" => Ok(FinalNorm::Skip),
        other => Err(format!("`{other}` is none of apply, gain, skip")),
    }
}

impl LogitLens {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.tokens == 0 { Err(Error::setting("tokens", 0, "1 or more")) } else { Ok(()) }
    }
}

/// What one sign of a feature pushes towards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pushed {
    /// Tokens with their logits, greatest first; none for a direction of length 0.
    pub tokens: Vec<(u32, f32)>,
    /// Standard deviations of the first token's logit above the mean over the vocabulary.
    pub peak: f32,
}

impl Pushed {
    /// Whether the first token stands out more than the greatest of `vocabulary` normal numbers
    /// would by one standard deviation.
    pub fn stands_out(&self, vocabulary: usize) -> bool {
        self.peak > (2.0 * (vocabulary.max(2) as f32).ln()).sqrt() + 1.0
    }
}

/// Both signs of a feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Along the direction.
    pub plus: Pushed,
    /// Against it.
    pub minus: Pushed,
}

/// Logits held at once, in values.
const LOGITS_AT_ONCE: usize = 16 << 20;

/// The residual directions `f` `[feature, residual]` of features over the units of `unit_table`.
///
/// # Errors
/// Units of a site that does not write into the residual stream, or that do not fit the network.
pub fn residual_directions(
    network: &dyn LanguageNetwork,
    decoder: ArrayView2<'_, f32>,
    unit_table: &Table,
) -> Result<Tensor<2>> {
    let (sites, indices) = (unit_table.texts("site")?, unit_table.u32s("index")?);
    let (features, width) = (decoder.nrows(), network.residual_width());
    let device = network.device();
    let mut sum = Tensor::<2>::zeros([features, width], device);
    let mut start = 0;
    for same in sites.chunk_by(|a, b| a == b) {
        let site = Site::new(same[0].as_str());
        let units = start..start + same.len();
        start = units.end;
        let size = match site_kind(network, &site)? {
            SiteKind::Mlp(_) => network.width(&site).unwrap_or(0),
            SiteKind::Residual => width,
        };
        // The dictionary may hold a part of the site's units.
        let mut whole = Array2::<f32>::zeros((features, size));
        for unit in units {
            let index = indices[unit] as usize;
            if index >= size {
                return Err(Error::setting(
                    "unit",
                    index,
                    format!("below {size}, the units of {site} of {}", network.id()),
                ));
            }
            whole.column_mut(index).assign(&decoder.column(unit));
        }
        let data = TensorData::new(whole.into_raw_vec_and_offset().0, [features, size]);
        let part = Tensor::<2>::from_data(data, device);
        sum = sum
            + match site_kind(network, &site)? {
                SiteKind::Mlp(layer) => part.matmul(network.down_projection(layer)?),
                SiteKind::Residual => part,
            };
    }
    Ok(sum)
}

/// Whether `network` has a head over its vocabulary, and every site of `unit_table` writes into its
/// residual stream.
pub fn applies(network: &dyn LanguageNetwork, unit_table: &Table) -> bool {
    let nothing = Tensor::<2>::zeros([1, network.residual_width()], network.device());
    let has_head = network.unembed(nothing, FinalNorm::Skip).is_ok();
    let writes = unit_table.texts("site").is_ok_and(|sites| {
        sites
            .chunk_by(|a, b| a == b)
            .all(|same| site_kind(network, &Site::new(same[0].as_str())).is_ok())
    });
    has_head && writes
}

enum SiteKind {
    Mlp(usize),
    Residual,
}

fn site_kind(network: &dyn LanguageNetwork, site: &Site) -> Result<SiteKind> {
    require_site(network, site)?;
    match (site.layer(), site.part()) {
        (Some(layer), "mlp.act") => Ok(SiteKind::Mlp(layer)),
        (_, "embed" | "resid.pre" | "resid.mid" | "resid.post" | "mlp.out" | "attn.out") => {
            Ok(SiteKind::Residual)
        }
        _ => Err(Error::setting("site", site, "mlp.act, or a site of the residual stream")),
    }
}

/// The effects of every row of `decoder` `[feature, unit]`.
///
/// # Errors
/// As [`residual_directions`]; a network without a head.
pub fn logit_lens(
    network: &dyn LanguageNetwork,
    decoder: ArrayView2<'_, f32>,
    unit_table: &Table,
    settings: &LogitLens,
    progress: &Progress,
) -> Result<Vec<Effects>> {
    settings.validate()?;
    let lengths: Vec<f32> = decoder
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>().sqrt() as f32)
        .collect();
    let directions = residual_directions(network, decoder, unit_table)?;
    let [features, width] = directions.dims();
    let at_once = (LOGITS_AT_ONCE / network.vocabulary().max(1)).max(1);
    let stage = progress.stage("logit lens", features as u64, "features");
    let mut effects = Vec::with_capacity(features);
    for first in (0..features).step_by(at_once) {
        progress.check(|| format!("{first} features"))?;
        let end = (first + at_once).min(features);
        let scales: Vec<f32> = lengths[first..end]
            .iter()
            .map(|&length| if length > 0.0 { 1.0 / length } else { 0.0 })
            .collect();
        let scales = TensorData::new(scales, [end - first, 1]);
        let scales = Tensor::<2>::from_data(scales, network.device());
        let unit = directions.clone().slice([first..end, 0..width]) * scales;
        let plus = pushed(network, unit.clone(), settings)?;
        let minus = pushed(network, unit.neg(), settings)?;
        effects.extend(plus.into_iter().zip(minus).zip(&lengths[first..end]).map(
            |((plus, minus), &length)| {
                if length > 0.0 { Effects { plus, minus } } else { Effects::default() }
            },
        ));
        stage.advance((end - first) as u64);
    }
    Ok(effects)
}

fn pushed(
    network: &dyn LanguageNetwork,
    directions: Tensor<2>,
    settings: &LogitLens,
) -> Result<Vec<Pushed>> {
    let logits = network.unembed(directions, settings.norm)?;
    let tokens = logits.dims()[1];
    let logits: Vec<f32> = logits
        .into_data()
        .convert::<f32>()
        .try_to_vec()
        .map_err(|error| Error::setting("logits", format!("{error:?}"), "f32 values"))?;
    Ok(logits.par_chunks(tokens).map(|row| greatest(row, settings.tokens)).collect())
}

/// The `size` greatest logits, equal ones by lower token.
fn greatest(logits: &[f32], size: usize) -> Pushed {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let descending = |a: &u32, b: &u32| {
        logits[*b as usize].total_cmp(&logits[*a as usize]).then_with(|| a.cmp(b))
    };
    if size < order.len() {
        order.select_nth_unstable_by(size, descending);
        order.truncate(size);
    }
    order.sort_unstable_by(descending);
    let count = logits.len() as f64;
    let mean = logits.iter().map(|&l| f64::from(l)).sum::<f64>() / count;
    let spread = logits.iter().map(|&l| (f64::from(l) - mean).powi(2)).sum::<f64>() / count;
    let first = order.first().map_or(mean, |&token| f64::from(logits[token as usize]));
    let peak = if spread > 0.0 { ((first - mean) / spread.sqrt()) as f32 } else { 0.0 };
    Pushed {
        tokens: order.into_iter().map(|token| (token, logits[token as usize])).collect(),
        peak,
    }
}

/// Writes the `direct` rows of `effects.parquet`, and keeps those of other kinds.
///
/// # Errors
/// Effects on disk with other columns, or a failed file operation.
pub fn write(features: &Features, effects: &[Effects], text: &dyn Fn(u32) -> String) -> Result<()> {
    let (mut number, mut sign, mut rank) = (Vec::new(), Vec::new(), Vec::new());
    let (mut token_id, mut token, mut value) = (Vec::new(), Vec::new(), Vec::new());
    for (feature, effects) in (0..).zip(effects) {
        for (symbol, pushed) in [("+", &effects.plus), ("-", &effects.minus)] {
            for (place, &(id, logit)) in (0..).zip(&pushed.tokens) {
                number.push(feature);
                sign.push(symbol.to_owned());
                rank.push(place);
                token_id.push(id);
                token.push(text(id));
                value.push(logit);
            }
        }
    }
    let mut table = Table::new()
        .with("feature", Column::U32(number))
        .with("kind", Column::Text(vec![DIRECT.to_owned(); rank.len()]))
        .with("sign", Column::Text(sign))
        .with("rank", Column::U32(rank))
        .with("token_id", Column::U32(token_id))
        .with("token", Column::Text(token))
        .with("value", Column::F32(value));
    if let Some(before) = features.annotation(Annotation::Effects)? {
        let kinds = before.texts("kind")?;
        let others: Vec<usize> = (0..kinds.len()).filter(|&row| kinds[row] != DIRECT).collect();
        let mut merged = before.take(&others);
        merged.append(table)?;
        table = merged;
    }
    features.set_annotation(Annotation::Effects, &table)
}

const DIRECT: &str = "direct";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_go_by_token_and_a_flat_row_has_no_peak() {
        let found = greatest(&[1.0, 3.0, 3.0, 0.0], 2);
        assert_eq!(found.tokens, [(1, 3.0), (2, 3.0)]);
        assert!(greatest(&[2.0; 5], 3).peak.abs() < 1e-6);
        let mut peaked = vec![0.0; 1000];
        peaked[7] = 1.0;
        assert!(greatest(&peaked, 1).stands_out(1000));
        let rising: Vec<f32> = (0..1000).map(|n| n as f32).collect();
        assert!(!greatest(&rising, 1).stands_out(1000));
    }
}
