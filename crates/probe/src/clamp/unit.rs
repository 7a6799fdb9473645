//! A unit of a network, named by its site and its number there.

use std::fmt;
use std::str::FromStr;

use nissl_core::network::LanguageNetwork;
use nissl_core::site::select;
use nissl_core::{Error, Result, Site};
use serde::{Deserialize, Serialize};

/// One unit of one site, written `layers.3.mlp.act:1423`, or `3:1423` for that very neuron.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit {
    /// Where it is.
    pub site: Site,
    /// Its number at the site, from 0.
    pub unit: usize,
}

impl Unit {
    /// Unit `unit` of `site`.
    pub fn new(site: impl Into<String>, unit: usize) -> Self {
        Self { site: Site::new(site), unit }
    }

    /// The neuron of a layer whose activity enters the down projection.
    pub fn neuron(layer: usize, unit: usize) -> Self {
        Self::new(format!("layers.{layer}.mlp.act"), unit)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.site, self.unit)
    }
}

impl FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text
            .rsplit_once(':')
            .and_then(|(site, unit)| Some((site, unit.trim().parse::<usize>().ok()?)));
        match parts {
            Some((site, unit)) if !site.is_empty() => Ok(match site.parse::<usize>() {
                Ok(layer) => Self::neuron(layer, unit),
                Err(_a_name) => Self::new(site, unit),
            }),
            _ => Err(Error::setting(
                "unit",
                format!("`{text}`"),
                "SITE:NUMBER, such as `layers.3.mlp.act:1423`, or LAYER:NUMBER for an MLP's neuron",
            )),
        }
    }
}

impl TryFrom<String> for Unit {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.to_string()
    }
}

/// # Errors
/// No unit, one that is named twice, a site the network has not, or a number beyond its last unit.
pub fn check_units(network: &dyn LanguageNetwork, units: &[Unit]) -> Result<()> {
    if units.is_empty() {
        let what = "the list of units".to_owned();
        return Err(Error::Empty { what, expected: "at least one unit".to_owned() });
    }
    for (number, unit) in units.iter().enumerate() {
        select(network.id(), network.sites(), &[unit.site.name().parse()?])?;
        let Some(width) = network.width(&unit.site) else {
            return Err(Error::setting("unit", unit, "a site with a fixed number of units"));
        };
        if unit.unit >= width {
            let expected = format!("0 to {} at site {}", width.saturating_sub(1), unit.site);
            return Err(Error::setting("unit", unit.unit, expected));
        }
        if units[..number].contains(unit) {
            return Err(Error::setting("unit", format!("{unit}, twice"), "each unit once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_reads_as_it_is_written() {
        let neuron: Unit = "3:1423".parse().expect("a neuron");
        assert_eq!(neuron, "layers.3.mlp.act:1423".parse().expect("a unit"));
        assert_eq!(neuron.to_string().parse::<Unit>().expect("a unit"), neuron);
        let json = serde_json::to_string(&neuron).expect("JSON");
        assert_eq!(serde_json::from_str::<Unit>(&json).expect("a unit"), neuron);
        for wrong in ["", "3", "layers.3.mlp.act", ":4", "3:", "3:-1", "3:x"] {
            let error = wrong.parse::<Unit>().expect_err(wrong).to_string();
            assert!(error.contains("SITE:NUMBER"), "{error}");
        }
    }
}
