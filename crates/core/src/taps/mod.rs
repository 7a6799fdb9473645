//! Taps: what listens to, or changes, the activity at a network's sites.
//!
//! A network hands each site's tensor `[batch, position, unit]` to [`Taps::visit`] and goes on with
//! what comes back. A reader sees the tensor; an [`Edit`] replaces a part of it. Edits act in the
//! order in which they were added, readers see the edited tensor. Edits are plain tensor operations,
//! so gradients flow through them. Where nothing listens, `visit` costs one comparison and formats
//! no name.

mod edit;

use std::fmt;

use burn::tensor::Tensor;

pub use edit::{Change, Edit, Positions, Selection};

use crate::error::{Error, Result};
use crate::site::{Site, SiteGlob};

/// A closure that is shown a site's name and its tensor `[batch, position, unit]`.
pub type Sink<'a> = Box<dyn FnMut(&str, &Tensor<3>) + 'a>;

/// Readers and edits for one or more runs of a network.
#[derive(Default)]
pub struct Taps<'a> {
    readers: Vec<(SiteGlob, Sink<'a>)>,
    edits: Vec<Edit>,
    applied: Vec<bool>,
    offset: usize,
    sample_offset: usize,
    only_readers: bool,
    last: Option<Site>,
    finished: bool,
}

impl<'a> Taps<'a> {
    /// No taps: a plain run.
    pub fn none() -> Self {
        Self::default()
    }

    /// Shows every site that `site` selects to `sink`.
    #[must_use]
    pub fn read(mut self, site: SiteGlob, sink: impl FnMut(&str, &Tensor<3>) + 'a) -> Self {
        self.readers.push((site, Box::new(sink)));
        self
    }

    /// Applies `edit` after those added before.
    #[must_use]
    pub fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self.applied.push(false);
        self
    }

    /// The caller wants nothing but what the readers see: layers past the last wanted site need
    /// not be computed.
    #[must_use]
    pub fn without_output(mut self) -> Self {
        self.only_readers = true;
        self
    }

    /// Called by a network at the start of a run, with its sites in the order of their computation.
    pub fn begin(&mut self, sites: &[Site]) {
        self.finished = false;
        self.last = if self.only_readers {
            sites
                .iter()
                .rev()
                .find(|site| self.readers.iter().any(|(glob, _)| glob.matches(site.name())))
                .cloned()
        } else {
            None
        };
    }

    /// The position of the first column of the tensors to come (the length of the cache), and the
    /// index of their first sample.
    pub fn set_offset(&mut self, position: usize, sample: usize) {
        self.offset = position;
        self.sample_offset = sample;
    }

    /// The position of the first column of the tensors to come; the first sample stays as set.
    pub fn set_position(&mut self, position: usize) {
        self.offset = position;
    }

    /// Whether all that is wanted has been seen, so that a network may stop.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Whether any tap listens to `site`; for sites that are computed only on demand.
    pub fn wants(&self, site: fmt::Arguments<'_>) -> bool {
        if self.readers.is_empty() && self.edits.is_empty() {
            return false;
        }
        let name = site.to_string();
        self.readers.iter().any(|(glob, _)| glob.matches(&name))
            || self.edits.iter().any(|edit| edit.site.matches(&name))
    }

    /// Whether any edit is registered.
    pub fn edits_anything(&self) -> bool {
        !self.edits.is_empty()
    }

    /// Hands a site's tensor `[batch, position, unit]` to the taps and returns what takes its place.
    ///
    /// # Panics
    /// When an edit's direction, unit or patch does not fit the tensor; [`Taps::check`] tells the
    /// same as an error beforehand.
    pub fn visit(&mut self, site: fmt::Arguments<'_>, tensor: Tensor<3>) -> Tensor<3> {
        if self.readers.is_empty() && self.edits.is_empty() {
            return tensor;
        }
        let name = site.to_string();
        let mut tensor = tensor;
        for (edit, applied) in self.edits.iter().zip(&mut self.applied) {
            if edit.site.matches(&name) {
                *applied = true;
                tensor = edit.apply(tensor, self.offset, self.sample_offset);
            }
        }
        for (glob, sink) in &mut self.readers {
            if glob.matches(&name) {
                sink(&name, &tensor);
            }
        }
        if self.last.as_ref().is_some_and(|last| last.name() == name) {
            self.finished = true;
        }
        tensor
    }

    /// Checks that every edit finds its site and fits the site's number of units.
    ///
    /// `width` gives the units of a site, `None` where it depends on the input.
    ///
    /// # Errors
    /// An edit that selects no site, or whose direction or units do not fit.
    pub fn check(
        &self,
        network: &str,
        sites: &[Site],
        width: impl Fn(&Site) -> Option<usize>,
    ) -> Result<()> {
        for edit in &self.edits {
            let chosen = crate::site::select(network, sites, std::slice::from_ref(&edit.site))?;
            for site in chosen {
                let Some(units) = width(site) else { continue };
                let found = match &edit.change {
                    Change::SetUnits(values) | Change::Add(values) => values.len(),
                    Change::AddTensor(direction) => direction.dims()[0],
                    Change::Resample { pool, .. } => pool.dims()[1],
                    Change::Patch(tensor) => tensor.dims()[2],
                    Change::Set(_) | Change::Scale(_) => units,
                };
                if found != units {
                    return Err(Error::Units {
                        left: "the edit".to_owned(),
                        found,
                        right: format!("site {site} of {network}"),
                        expected: units,
                        help: None,
                    });
                }
                let outside = edit.selection.units.iter().flatten().find(|&&unit| unit >= units);
                if let Some(unit) = outside {
                    return Err(Error::setting(
                        "unit",
                        unit,
                        format!("0 to {} at site {site}", units.saturating_sub(1)),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The patterns of edits that no visited site matched so far: a sign of a misspelt name.
    pub fn unapplied(&self) -> Vec<&str> {
        self.edits
            .iter()
            .zip(&self.applied)
            .filter(|(_, applied)| !**applied)
            .map(|(edit, _)| edit.site.pattern())
            .collect()
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "edits copy and add small whole numbers, exactly")]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn glob(pattern: &str) -> SiteGlob {
        pattern.parse().expect("a valid pattern")
    }

    fn ones() -> Tensor<3> {
        Tensor::ones([2, 3, 4], &Device::flex())
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn an_edit_touches_only_what_it_selects() {
        let selection = Selection {
            samples: Some(vec![1]),
            positions: Positions::These(vec![2]),
            units: Some(vec![0, 3]),
        };
        let edit = Edit::new(glob("layers.*.mlp.act"), Change::Set(7.0)).on(selection);
        let mut taps = Taps::none().edit(edit);
        let out = values(taps.visit(format_args!("layers.0.mlp.act"), ones()));
        let changed: Vec<usize> = (0..24).filter(|&i| out[i] != 1.0).collect();
        assert_eq!(changed, vec![20, 23]);
        assert!(taps.unapplied().is_empty());
    }

    #[test]
    fn positions_count_from_the_start_of_the_sequence_with_a_cache() {
        let selection = Selection { positions: Positions::From(5), ..Selection::default() };
        let edit = Edit::new(glob("embed"), Change::Add(vec![1.0; 4])).on(selection);
        let mut taps = Taps::none().edit(edit);
        taps.set_offset(4, 0);
        let out = values(taps.visit(format_args!("embed"), ones()));
        assert_eq!(&out[..12], &[1., 1., 1., 1., 2., 2., 2., 2., 2., 2., 2., 2.]);
    }

    #[test]
    fn an_edit_that_nothing_matched_is_told() {
        let mut taps = Taps::none().edit(Edit::new(glob("embedding"), Change::Set(0.0)));
        let _untouched = taps.visit(format_args!("embed"), ones());
        assert_eq!(taps.unapplied(), vec!["embedding"]);
        let error = taps.check("tiny", &[Site::new("embed")], |_| Some(4)).expect_err("misspelt");
        assert!(matches!(error, Error::NoSuchSite { .. }));
    }

    #[test]
    fn reading_ends_after_the_last_wanted_site() {
        let sites = ["embed", "layers.0.mlp.act", "layers.1.mlp.act", "logits"].map(Site::new);
        let mut seen = Vec::new();
        let mut taps =
            Taps::none().read(glob("layers.0.*.act"), |name, _| seen.push(name.to_owned()));
        taps = taps.without_output();
        taps.begin(&sites);
        let _embed = taps.visit(format_args!("embed"), ones());
        assert!(!taps.finished());
        let _act = taps.visit(format_args!("layers.0.mlp.act"), ones());
        assert!(taps.finished());
        drop(taps);
        assert_eq!(seen, vec!["layers.0.mlp.act"]);
    }

    #[test]
    fn resampled_rows_come_from_the_pool_and_repeat_with_the_seed() {
        let pool = Tensor::<2>::from_data(
            TensorData::new((0..20).map(|i| i as f32).collect::<Vec<_>>(), [5, 4]),
            &Device::flex(),
        );
        let edit = |seed| Edit::new(glob("embed"), Change::Resample { pool: pool.clone(), seed });
        let run = |seed| values(Taps::none().edit(edit(seed)).visit(format_args!("embed"), ones()));
        let out = run(3);
        assert!(out.chunks(4).all(|row| row[0] % 4.0 == 0.0 && row[3] == row[0] + 3.0));
        assert_eq!(out, run(3));
        assert_ne!(out, run(4));
    }

    #[test]
    fn gradients_flow_through_an_added_direction() {
        let device = Device::flex().autodiff();
        let direction = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &device).require_grad();
        let edit = Edit::new(glob("embed"), Change::AddTensor(direction.clone()));
        let x = Tensor::<3>::ones([2, 3, 4], &device);
        let out = Taps::none().edit(edit).visit(format_args!("embed"), x);
        let gradients = out.clone().mul(out).sum().backward();
        let gradient: Vec<f32> =
            direction.grad(&gradients).expect("a gradient").into_data().try_to_vec().expect("f32");
        // d/dv of the sum over 6 places of (1 + v)² is 12 (1 + v).
        assert_eq!(gradient, vec![24.0, 36.0, 48.0, 60.0]);
    }
}
