//! What a dictionary has to beat at the same number of active parts: the neurons of the MLP that vary
//! most, and the leading principal components of what it writes.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4.3 (neurons).
//! Memory: one f64 for each pair of units of the output site, beside a batch.

use std::cell::RefCell;

use faer::{MatRef, Side};
use ndarray::{Array2, Axis};
use nissl_core::features::{Dictionary, Encoding};
use nissl_core::network::LanguageNetwork;
use nissl_core::stats::moments::{ExplainedVariance, Gram, Moments};
use nissl_core::taps::{Change, Edit, Selection, Taps};
use nissl_core::{Error, Progress, Result, Site, SiteGlob};
use serde::{Deserialize, Serialize};

use super::change::Rest;
use super::evaluate::{Evaluate, Evaluated, evaluate, recovered};
use super::pass::{Loss, Text};
use super::replacement::{Replacement, matrix};
use super::sites::Sites;

/// What a dictionary is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// As many neurons of the MLP, those of the largest variance; the others are held.
    Neurons(Rest),
    /// As many principal components of what the site varies by, about its mean.
    Components,
}

impl Baseline {
    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Neurons(Rest::Zero) => "top neurons, others 0",
            Self::Neurons(Rest::Mean) => "top neurons, others at their mean",
            Self::Components => "principal components",
        }
    }
}

/// One baseline at the dictionary's number of active parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What it is.
    pub baseline: Baseline,
    /// Neurons or components: the dictionary's L0, rounded, at most all there are.
    pub parts: usize,
    /// Unexplained share of the variance of the output site.
    pub fvu: f64,
    /// Mean loss with it in the site's place, in nats.
    pub replaced: f64,
    /// `(zero − replaced) / (zero − full)`.
    pub recovered: f64,
}

/// The baselines of `found`, the figures of the single dictionary at `sites`, on the same text: principal
/// components, and where the site is an MLP's output the neurons.
///
/// # Errors
/// As [`evaluate`].
pub fn compare(
    network: &dyn LanguageNetwork,
    sites: &Sites,
    found: &Evaluated,
    text: &[Vec<u32>],
    settings: &Evaluate,
    progress: &Progress,
) -> Result<Vec<Comparison>> {
    let active = found.dictionaries.first().map_or(1.0, |one| one.active);
    let wanted = (active.round() as usize).max(1);
    let hidden = neurons_of(network, &sites.output);
    let seen = survey(network, sites, hidden.as_ref(), text, settings, progress)?;

    let components = seen.components(wanted)?;
    let parts = components.features();
    let placed = Replacement::at(&components, Sites::both(&sites.output), network)?;
    let of = evaluate(network, &[vec![placed]], text, settings, progress)?;
    let mut rows: Vec<Comparison> = of
        .iter()
        .map(|one| Comparison {
            baseline: Baseline::Components,
            parts,
            fvu: one.dictionaries.first().map_or(f64::NAN, |one| one.fvu),
            replaced: one.replaced,
            recovered: recovered(found.full, one.replaced, found.zero),
        })
        .collect();
    if let (Some(hidden), Some(neurons)) = (hidden, &seen.neurons) {
        let kept = largest(&neurons.variances(), wanted);
        for rest in [Rest::Mean, Rest::Zero] {
            let edit = held(&hidden, &kept, &neurons.means(), rest)?;
            let (fvu, loss) = neurons_only(network, sites, &edit, text, settings, progress)?;
            rows.push(Comparison {
                baseline: Baseline::Neurons(rest),
                parts: kept.len(),
                fvu,
                replaced: loss.mean(),
                recovered: recovered(found.full, loss.mean(), found.zero),
            });
        }
    }
    Ok(rows)
}

/// The hidden layer of the MLP whose output `site` is.
pub(super) fn neurons_of(network: &dyn LanguageNetwork, site: &Site) -> Option<Site> {
    let layer = site.layer().filter(|_| site.part() == "mlp.out")?;
    let hidden = Site::new(format!("layers.{layer}.mlp.act"));
    network.sites().contains(&hidden).then_some(hidden)
}

/// The places of the `count` largest values, ascending; of equal ones the first.
pub(super) fn largest(values: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// All neurons of `site` but those `kept` held at 0 or at their `means`.
pub(super) fn held(site: &Site, kept: &[usize], means: &[f64], rest: Rest) -> Result<Edit> {
    let glob: SiteGlob = site.name().parse()?;
    let change = match rest {
        Rest::Zero => Change::Set(0.0),
        Rest::Mean => Change::SetUnits(means.iter().map(|&mean| mean as f32).collect()),
    };
    let others = (0..means.len()).filter(|unit| kept.binary_search(unit).is_err()).collect();
    let selection = Selection { units: Some(others), ..Selection::default() };
    Ok(Edit::new(glob, change).on(selection))
}

/// What a first pass tells of the sites.
struct Survey {
    output: Gram,
    neurons: Option<Moments>,
}

fn survey(
    network: &dyn LanguageNetwork,
    sites: &Sites,
    hidden: Option<&Site>,
    text: &[Vec<u32>],
    settings: &Evaluate,
    progress: &Progress,
) -> Result<Survey> {
    let text = Text::new(network, text, settings.first)?;
    let width = |site: &Site| network.width(site).unwrap_or(0);
    let mut seen = Survey {
        output: Gram::new(width(&sites.output)),
        neurons: hidden.map(|hidden| Moments::new(width(hidden))),
    };
    let stage = progress.stage("baselines", text.rows.len() as u64, "sequences");
    for batch in text.rows.chunks(text.at_once) {
        progress.check(|| "the baselines; nothing was written".to_owned())?;
        let places = text.places(batch);
        let read = read_sites(network, batch, &sites.output, hidden)?;
        if let Some(output) = read.first() {
            seen.output.push(output.select(Axis(0), &places).view());
        }
        if let (Some(neurons), Some(act)) = (&mut seen.neurons, read.get(1)) {
            neurons.push(act.select(Axis(0), &places).view());
        }
        stage.advance(batch.len() as u64);
    }
    Ok(seen)
}

/// The activity `[token, unit]` of `output`, and of `hidden` after it.
fn read_sites(
    network: &dyn LanguageNetwork,
    batch: &[&[u32]],
    output: &Site,
    hidden: Option<&Site>,
) -> Result<Vec<Array2<f32>>> {
    let tokens = nissl_core::network::TokenBatch::new(batch)?;
    let wanted: Vec<&Site> = std::iter::once(output).chain(hidden).collect();
    let seen = RefCell::new(vec![None; wanted.len()]);
    let mut taps = Taps::none().without_output();
    for (place, site) in wanted.iter().enumerate() {
        let seen = &seen;
        taps = taps.read(site.name().parse()?, move |_, x| {
            seen.borrow_mut()[place] = Some(x.clone());
        });
    }
    network.forward(&tokens, &mut taps)?;
    drop(taps);
    let found = seen.into_inner().into_iter().zip(wanted);
    found
        .map(|(x, site)| match x {
            Some(x) => matrix(x),
            None => Err(Error::setting("site", site, "a site that the run reaches")),
        })
        .collect()
}

impl Survey {
    /// The leading components as a dictionary about the mean.
    fn components(&self, wanted: usize) -> Result<Dictionary> {
        let covariance = self.output.covariance();
        let units = covariance.nrows();
        let flat: Vec<f64> = covariance.iter().copied().collect();
        let found = MatRef::from_row_major_slice(&flat, units, units)
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_no_convergence| Error::Diverged {
                what: "the eigenvalues".to_owned(),
                found: f64::NAN,
                step: 0,
                help: None,
            })?;
        // The solver gives them ascending.
        let rows = wanted.min(units);
        let decoder = Array2::from_shape_fn((rows, units), |(row, unit)| {
            found.U()[(unit, units - 1 - row)] as f32
        });
        let mut dictionary = Dictionary::new(decoder, Encoding::Projection);
        dictionary.decoder_bias = Some(self.output.mean().mapv(|value| value as f32));
        Ok(dictionary)
    }
}

/// The unexplained variance and the loss with `edit` at the hidden layer.
fn neurons_only(
    network: &dyn LanguageNetwork,
    sites: &Sites,
    edit: &Edit,
    text: &[Vec<u32>],
    settings: &Evaluate,
    progress: &Progress,
) -> Result<(f64, Loss)> {
    let text = Text::new(network, text, settings.first)?;
    let mut edit = edit.clone();
    edit.selection.positions = text.positions();
    let mut explained = ExplainedVariance::new(network.width(&sites.output).unwrap_or(0));
    let mut loss = Loss::default();
    let glob: SiteGlob = sites.output.name().parse()?;
    for batch in text.rows.chunks(text.at_once) {
        progress.check(|| "the baselines; nothing was written".to_owned())?;
        let places = text.places(batch);
        let before = read_sites(network, batch, &sites.output, None)?;
        let mut after = None;
        let mut taps =
            Taps::none().edit(edit.clone()).read(glob.clone(), |_, x| after = Some(x.clone()));
        loss.add(text.loss(network, batch, &mut taps)?);
        drop(taps);
        if let (Some(after), Some(before)) = (after, before.first()) {
            let rows = |x: &Array2<f32>| x.select(Axis(0), &places);
            explained.push(rows(before).view(), rows(&matrix(after)?).view());
        }
    }
    Ok((1.0 - explained.overall(), loss))
}
