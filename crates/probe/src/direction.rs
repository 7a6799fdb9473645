//! A feature as a direction over all units of its site.

use ndarray::Array2;
use nissl_core::features::Features;
use nissl_core::network::{LanguageNetwork, require_site};
use nissl_core::{Error, Result, Site};

/// The one site that `features` write to (of a transcoder its target) and the directions `[feature, unit]` of those `wanted` over all units
/// of that site in `network`; units that the dictionary lacks are 0.
///
/// # Errors
/// Features over several sites, of a site that the network lacks, of another width, or a feature that
/// does not exist.
pub fn site_directions(
    network: &dyn LanguageNetwork,
    features: &Features,
    wanted: &[usize],
) -> Result<(Site, Array2<f32>)> {
    let table = features.output_unit_table();
    let (sites, places) = (table.texts("site")?, table.u32s("index")?);
    let site = match sites.first() {
        Some(first) if sites.iter().all(|site| site == first) => Site::new(first.as_str()),
        _ => return Err(Error::setting("site", "several", "features of one site")),
    };
    let width = site_width(network, &site)?;
    let most = places.iter().max().map_or(0, |&place| place as usize + 1);
    // Units from 0 without a gap are a whole site, so a narrower one is another network's.
    if most > width || (most == places.len() && most != width) {
        return Err(Error::Units {
            left: features.path().display().to_string(),
            found: most,
            right: format!("site {site} of {}", network.id()),
            expected: width,
            help: Some("is this the network that was recorded?".to_owned()),
        });
    }
    let written = features.dictionary().written();
    let mut directions = Array2::zeros((wanted.len(), width));
    for (row, &feature) in wanted.iter().enumerate() {
        if feature >= features.features() {
            let last = features.features().saturating_sub(1);
            let expected = format!("0 to {last}, as {} has", features.path().display());
            return Err(Error::setting("feature", feature, expected));
        }
        for (&value, &place) in written.row(feature).iter().zip(places) {
            directions[[row, place as usize]] = value;
        }
    }
    Ok((site, directions))
}

/// The site of one feature and its direction over all units of that site `[unit]`.
///
/// # Errors
/// As [`site_directions`].
pub fn site_direction(
    network: &dyn LanguageNetwork,
    features: &Features,
    feature: usize,
) -> Result<(Site, Vec<f32>)> {
    let (site, directions) = site_directions(network, features, &[feature])?;
    Ok((site, directions.into_raw_vec_and_offset().0))
}

/// The units of a site of a network.
///
/// # Errors
/// A site that the network lacks, or whose units depend on the text.
pub(crate) fn site_width(network: &dyn LanguageNetwork, site: &Site) -> Result<usize> {
    require_site(network, site)?;
    network
        .width(site)
        .ok_or_else(|| Error::setting("site", site, "a site whose units do not depend on the text"))
}
