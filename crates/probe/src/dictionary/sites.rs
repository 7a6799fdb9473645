//! The sites that a dictionary stands between.

use nissl_core::features::{Dictionary, Features};
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Result, Site, Table};
use serde::{Deserialize, Serialize};

use crate::direction::site_width;

/// Where a dictionary reads and where it writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sites {
    /// What it reads.
    pub input: Site,
    /// What it rebuilds: of an autoencoder the same site.
    pub output: Site,
}

impl Sites {
    /// Both at one site.
    pub fn both(site: &Site) -> Self {
        Self { input: site.clone(), output: site.clone() }
    }

    /// Whether `network` has them, in this order, as wide as `dictionary` is.
    ///
    /// # Errors
    /// A site that the network lacks, that comes too late, or of another width.
    pub fn check(&self, network: &dyn LanguageNetwork, dictionary: &Dictionary) -> Result<()> {
        for (site, found) in
            [(&self.input, dictionary.units()), (&self.output, dictionary.output_units())]
        {
            let expected = site_width(network, site)?;
            if found != expected {
                return Err(Error::Units {
                    left: "the dictionary".to_owned(),
                    found,
                    right: format!("site {site} of {}", network.id()),
                    expected,
                    help: Some(
                        "is this the network, and the site, that it was trained on?".to_owned(),
                    ),
                });
            }
        }
        if dictionary.output_decoder.is_none() && self.input != self.output {
            let expected = format!("{}, since an autoencoder rebuilds what it reads", self.input);
            return Err(Error::setting("output site", &self.output, expected));
        }
        nissl_core::taps::Taps::none()
            .substitute(self.input.clone(), self.output.clone(), |passed| passed.output)
            .check(network.id(), network.sites(), |site| network.width(site))
    }

    /// `layers.3.mlp.in -> layers.3.mlp.out`, or one name.
    pub fn name(&self) -> String {
        if self.input == self.output {
            self.input.name().to_owned()
        } else {
            format!("{} -> {}", self.input, self.output)
        }
    }
}

/// The sites that `features` stand between, by their tables of units.
///
/// # Errors
/// Features of several sites, or of a part of a site's units.
pub fn sites_of(features: &Features) -> Result<Sites> {
    let input = whole_site(features, features.unit_table())?;
    if features.dictionary().output_decoder.is_none() {
        return Ok(Sites { output: input.clone(), input });
    }
    Ok(Sites { input, output: whole_site(features, features.output_unit_table())? })
}

fn whole_site(features: &Features, units: &Table) -> Result<Site> {
    let path = features.path();
    let (sites, places) = (units.texts("site")?, units.u32s("index")?);
    let Some(first) = sites.first().filter(|first| sites.iter().all(|site| site == *first)) else {
        return Err(Error::file(path, "units", "units of several sites", "one site's"));
    };
    if places.iter().enumerate().any(|(at, &place)| at != place as usize) {
        return Err(Error::file(path, "units", "a part of a site's units", "all, in order")
            .with_help("only a dictionary over a whole site can stand in its place"));
    }
    if first.is_empty() || first == "unknown" {
        return Err(Error::file(path, "site", "unknown", "the site that it reads")
            .with_help("name it: --at SITE, or --at INPUT --target OUTPUT for a transcoder"));
    }
    Ok(Site::new(first.as_str()))
}
