//! Which site a dictionary belongs to, told by how well it rebuilds each.
//!
//! The names of files and configurations lie about sites often enough; the unexplained share of the
//! variance does not: above 1 a dictionary is worse than the mean of the site.

use std::cell::RefCell;
use std::collections::BTreeMap;

use nissl_core::features::Dictionary;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};
use serde::{Deserialize, Serialize};

use super::measure::Meter;
use super::pass::Text;
use super::replacement::matrix;
use super::sites::Sites;

/// Tokens that are enough to tell.
const TOKENS: usize = 1000;

/// How well a dictionary rebuilds at some sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteFit {
    /// The sites.
    pub sites: Sites,
    /// The unexplained share of the variance there.
    pub fvu: f64,
}

/// How well `dictionary` rebuilds each site of its width on about a thousand tokens of `text`, best first.
///
/// A transcoder is tried from what the MLP of each layer reads, and from the residual stream before
/// it, to what that MLP writes.
///
/// # Errors
/// No site of that width, or a run that the network refuses.
pub fn fits(
    network: &dyn LanguageNetwork,
    dictionary: &Dictionary,
    text: &[Vec<u32>],
    first: usize,
) -> Result<Vec<SiteFit>> {
    fits_at(network, dictionary, candidates(network, dictionary), text, first)
}

fn fits_at(
    network: &dyn LanguageNetwork,
    dictionary: &Dictionary,
    candidates: Vec<Sites>,
    text: &[Vec<u32>],
    first: usize,
) -> Result<Vec<SiteFit>> {
    if candidates.is_empty() {
        let expected = format!("the width of some site of {}", network.id());
        return Err(Error::setting("units of the dictionary", dictionary.units(), expected));
    }
    let text = Text::new(network, text, first)?;
    let mut meters: Vec<Meter> = candidates.iter().map(|_| Meter::new(dictionary)).collect();
    let mut tokens = 0;
    for row in &text.rows {
        let seen = RefCell::new(BTreeMap::new());
        let mut taps = Taps::none().without_output();
        let mut wanted: Vec<&Site> =
            candidates.iter().flat_map(|sites| [&sites.input, &sites.output]).collect();
        wanted.sort();
        wanted.dedup();
        for site in wanted {
            taps = taps.read(site.name().parse()?, |name, x| {
                seen.borrow_mut().insert(name.to_owned(), matrix(x.clone()));
            });
        }
        network.forward(&TokenBatch::new(&[row])?, &mut taps)?;
        drop(taps);
        let mut activity = BTreeMap::new();
        for (site, read) in seen.into_inner() {
            activity.insert(site, read?);
        }
        let places = text.places(std::slice::from_ref(row));
        for (sites, meter) in candidates.iter().zip(&mut meters) {
            let at = |site: &Site| activity.get(site.name());
            if let (Some(input), Some(output)) = (at(&sites.input), at(&sites.output)) {
                meter.push(dictionary, input, output, &places)?;
            }
        }
        tokens += places.len();
        if tokens >= TOKENS {
            break;
        }
    }
    let mut fits: Vec<SiteFit> = candidates
        .into_iter()
        .zip(&meters)
        .map(|(sites, meter)| SiteFit { sites, fvu: meter.fvu() })
        .filter(|fit| fit.fvu.is_finite())
        .collect();
    fits.sort_by(|a, b| a.fvu.total_cmp(&b.fvu));
    Ok(fits)
}

/// Refuses a dictionary that rebuilds `sites` worse than the site's mean would, naming the best site.
///
/// # Errors
/// Such a dictionary, and as [`fits`].
pub fn require_fit(
    network: &dyn LanguageNetwork,
    dictionary: &Dictionary,
    sites: &Sites,
    text: &[Vec<u32>],
    first: usize,
) -> Result<f64> {
    let here = fits_at(network, dictionary, vec![sites.clone()], text, first)?;
    let fvu = here.first().map_or(f64::NAN, |fit| fit.fvu);
    // The others are tried only where it matters.
    if fvu <= 1.0 || fvu.is_nan() {
        return Ok(fvu);
    }
    let fits = fits(network, dictionary, text, first)?;
    let best = fits.first().filter(|best| best.fvu <= 1.0).map_or_else(
        || "no site of this network fits it".to_owned(),
        |best| format!("{} fits best ({:.3})", best.sites.name(), best.fvu),
    );
    let found = format!("{fvu:.3} at {}", sites.name());
    let expected = format!("at most 1, the mean's; {best}; --force goes on");
    Err(Error::setting("unexplained variance", found, expected))
}

/// The sites, or pairs of them, that are as wide as the dictionary.
fn candidates(network: &dyn LanguageNetwork, dictionary: &Dictionary) -> Vec<Sites> {
    let wide = |site: &Site, units: usize| network.width(site) == Some(units);
    if dictionary.output_decoder.is_none() {
        let fit = network.sites().iter().filter(|site| wide(site, dictionary.units()));
        return fit.map(Sites::both).collect();
    }
    let mut pairs = Vec::new();
    for layer in 0..network.layers() {
        let output = Site::new(format!("layers.{layer}.mlp.out"));
        if !network.sites().contains(&output) || !wide(&output, dictionary.output_units()) {
            continue;
        }
        for part in ["mlp.in", "resid.mid", "resid.pre"] {
            let input = Site::new(format!("layers.{layer}.{part}"));
            if network.sites().contains(&input) && wide(&input, dictionary.units()) {
                pairs.push(Sites { input, output: output.clone() });
            }
        }
    }
    pairs
}
