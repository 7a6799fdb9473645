//! What competes in concept detection: directions over the units of one or more sites.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, concatenate};
use nissl_core::features::{Features, product};
use nissl_core::{Error, Result, Site};
use serde::{Deserialize, Serialize};

use super::Agreement;
use crate::strength::Sign;

/// A feature with the sign in which it stands for a concept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Its number.
    pub feature: usize,
    /// The sign.
    pub sign: Sign,
}

/// Some units of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SiteUnits {
    pub(super) site: Site,
    /// Places within the site.
    pub(super) units: Vec<usize>,
}

/// Directions that compete for concepts under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// The name in tables.
    pub name: String,
    /// Features that stand for some concepts from the start; for the others one is chosen.
    pub given: BTreeMap<String, Signed>,
    pub(super) sites: Vec<SiteUnits>,
    /// `[direction, unit]`.
    pub(super) directions: Array2<f32>,
    /// `[unit]`, taken off the activity first.
    pub(super) centre: Option<Array1<f32>>,
    pub(super) control: bool,
}

impl Candidates {
    /// Directions `[direction, unit]` over all units of a site.
    pub fn new(name: impl Into<String>, site: Site, directions: Array2<f32>) -> Self {
        let units = (0..directions.ncols()).collect();
        Self {
            name: name.into(),
            given: BTreeMap::new(),
            sites: vec![SiteUnits { site, units }],
            directions,
            centre: None,
            control: false,
        }
    }

    /// The features of a dictionary, over the units and with the centre that it has: what is told is
    /// whether activity points along what a feature reads, so of a transcoder the direction that it reads
    /// over the units of its input, which is what its decoder holds.
    ///
    /// # Errors
    /// A table of units without their places.
    pub fn of(features: &Features, name: impl Into<String>) -> Result<Self> {
        let table = features.unit_table();
        let (names, places) = (table.texts("site")?, table.u32s("index")?);
        let (mut sites, mut start) = (Vec::new(), 0);
        for same in names.chunk_by(|a, b| a == b) {
            let units = places[start..start + same.len()].iter().map(|&at| at as usize).collect();
            sites.push(SiteUnits { site: Site::new(same[0].as_str()), units });
            start += same.len();
        }
        let dictionary = features.dictionary();
        Ok(Self {
            name: name.into(),
            given: BTreeMap::new(),
            sites,
            directions: dictionary.decoder.clone(),
            centre: dictionary.decoder_bias.clone(),
            control: false,
        })
    }

    /// `count` random directions over the same units, as a control.
    pub(super) fn random(&self, count: usize, seed: u64) -> Self {
        let units = self.directions.ncols();
        let mut directions = Array2::zeros((count, units));
        for (number, mut row) in directions.rows_mut().into_iter().enumerate() {
            let drawn = crate::steer::random_direction(units, seed, 0x10_0000 + number as u64);
            row.assign(&ArrayView1::from(&drawn));
        }
        Self {
            name: "random directions".to_owned(),
            given: BTreeMap::new(),
            sites: self.sites.clone(),
            directions,
            centre: None,
            control: true,
        }
    }

    /// The sites in words.
    pub fn site(&self) -> String {
        let names: Vec<&str> = self.sites.iter().map(|part| part.site.name()).collect();
        names.join(", ")
    }

    /// Whether `feature` exists and has a direction.
    pub(super) fn check(&self, feature: usize) -> Result<()> {
        let last = self.directions.nrows().saturating_sub(1);
        if feature > last {
            return Err(Error::setting(
                "feature",
                feature,
                format!("0 to {last}, as {} has", self.name),
            ));
        }
        if length(self.directions.row(feature)) == 0.0 {
            let found = format!("{feature} of {}, whose direction has length 0", self.name);
            return Err(Error::setting("feature", found, "a feature that is not dead"));
        }
        Ok(())
    }

    /// All directions, ready to be compared.
    pub(super) fn ready(&self, agreement: Agreement) -> Ready {
        Ready::new(self.directions.clone(), self.centre.clone(), agreement)
    }

    /// One direction, ready to be compared.
    pub(super) fn ready_one(&self, direction: usize, agreement: Agreement) -> Ready {
        let row = self.directions.select(Axis(0), &[direction]);
        Ready::new(row, self.centre.clone(), agreement)
    }

    /// The activity `[token, unit]` of these units, given that of whole sites.
    pub(super) fn gather(&self, read: &BTreeMap<String, Array2<f32>>) -> Result<Array2<f32>> {
        let mut parts = Vec::with_capacity(self.sites.len());
        for SiteUnits { site, units } in &self.sites {
            let Some(whole) = read.get(site.name()) else {
                return Err(Error::setting("site", site, "a site that the network reaches"));
            };
            let all = units.len() == whole.ncols() && units.is_sorted();
            parts.push(if all { whole.clone() } else { whole.select(Axis(1), units) });
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let views: Vec<ArrayView2<'_, f32>> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(1), &views)
            .map_err(|error| Error::setting("activity", error, "rows of all sites"))
    }
}

/// Directions of unit length, and how they are compared with activity.
pub(super) struct Ready {
    directions: Array2<f32>,
    centre: Option<Array1<f32>>,
    agreement: Agreement,
}

impl Ready {
    pub(super) fn new(
        mut directions: Array2<f32>,
        centre: Option<Array1<f32>>,
        agreement: Agreement,
    ) -> Self {
        for mut direction in directions.rows_mut() {
            if agreement == Agreement::Pearson {
                let mean = mean(direction.view());
                direction -= mean;
            }
            let length = length(direction.view());
            direction.mapv_inplace(|z| if length > 0.0 { z / length } else { 0.0 });
        }
        Self { directions, centre, agreement }
    }

    pub(super) fn directions(&self) -> usize {
        self.directions.nrows()
    }

    /// Agreement `[token, direction]` of activity `[token, unit]`, −1 to 1.
    pub(super) fn compare(&self, mut activity: Array2<f32>) -> Array2<f32> {
        if let Some(centre) = &self.centre {
            activity -= centre;
        }
        if self.agreement == Agreement::Pearson {
            for mut token in activity.rows_mut() {
                let mean = mean(token.view());
                token -= mean;
            }
        }
        let mut found = product(activity.view(), self.directions.t());
        for (mut row, token) in found.rows_mut().into_iter().zip(activity.rows()) {
            let length = length(token);
            row.mapv_inplace(|dot| if length > 0.0 { dot / length } else { 0.0 });
        }
        found
    }
}

pub(super) fn length(vector: ArrayView1<'_, f32>) -> f32 {
    vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt() as f32
}

fn mean(vector: ArrayView1<'_, f32>) -> f32 {
    (vector.iter().map(|&x| f64::from(x)).sum::<f64>() / vector.len().max(1) as f64) as f32
}
