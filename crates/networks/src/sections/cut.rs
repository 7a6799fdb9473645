//! `Cut`: a chain of sections between chosen node layers, and the part of the network before it.

use std::ops::Range;

use ndarray::Array2;
use nissl_core::error::nearest;
use nissl_core::section::{Chain, Samples, Section};
use nissl_core::{Error, Result};

use super::composed::composed;

/// A network cut at node layers.
pub struct Cut {
    /// From the first chosen node layer to the last.
    pub chain: Chain,
    /// What comes before the first chosen node layer.
    prefix: Option<Box<dyn Section>>,
}

/// Samples of the first chosen node layer, made of those of the network's own first.
pub struct Prefixed<'a> {
    source: Box<dyn Samples + 'a>,
    prefix: Option<&'a dyn Section>,
}

impl Cut {
    /// Cuts `sections`, which end at `end`, at node layers named among their names.
    ///
    /// # Errors
    /// A name that is not there, fewer than two, or names that are not in the order of the network.
    pub(super) fn at(
        mut sections: Vec<Box<dyn Section>>,
        end: &str,
        node_layers: &[String],
    ) -> Result<Self> {
        let names: Vec<String> =
            sections.iter().map(|one| one.name().to_owned()).chain([end.to_owned()]).collect();
        let places = places(&names, node_layers)?;
        let (first, last) = (places[0], places[places.len() - 1]);
        sections.truncate(last);
        let mut rest = sections.split_off(first);
        let prefix = if sections.is_empty() { None } else { Some(composed(sections)?) };
        let mut chain = Vec::with_capacity(places.len() - 1);
        for pair in places.windows(2) {
            let after = rest.split_off(pair[1] - pair[0]);
            chain.push(composed(rest)?);
            rest = after;
        }
        let chain = Chain { sections: chain, end: names[last].clone() };
        chain.validate()?;
        Ok(Self { chain, prefix })
    }

    /// Samples of the first chosen node layer from `source`, those of the network's own first one.
    pub fn samples<'a>(&'a self, source: impl Samples + 'a) -> Prefixed<'a> {
        Prefixed { source: Box::new(source), prefix: self.prefix.as_deref() }
    }
}

/// Where the chosen names stand among all.
fn places(names: &[String], chosen: &[String]) -> Result<Vec<usize>> {
    let mut places: Vec<usize> = Vec::with_capacity(chosen.len());
    for name in chosen {
        let Some(place) = names.iter().position(|known| known == name) else {
            let near = nearest(name, names.iter().map(String::as_str));
            let expected = format!("a node layer of the network, such as {}", near.join(", "));
            return Err(Error::setting("node_layers", name, expected));
        };
        if let Some(&before) = places.last()
            && before >= place
        {
            let found = format!("{name} after {}", names[before]);
            let expected = "node layers in the order of the network, each once";
            return Err(Error::setting("node_layers", found, expected));
        }
        places.push(place);
    }
    if places.len() < 2 {
        let expected = format!("at least two of {}", names.join(", "));
        return Err(Error::setting("node_layers", chosen.join(", "), expected));
    }
    Ok(places)
}

impl Samples for Prefixed<'_> {
    fn samples(&self) -> usize {
        self.source.samples()
    }

    fn rows(&self, range: Range<usize>) -> Result<Array2<f64>> {
        let rows = self.source.rows(range)?;
        match self.prefix {
            Some(prefix) => prefix.forward(rows.view()),
            None => Ok(rows),
        }
    }
}
