//! Taps: what listens to, or changes, the activity at a network's sites.
//!
//! A network hands each site's tensor `[batch, position, unit]` to [`Taps::visit`] and goes on with
//! what comes back. A reader sees the tensor; an [`Edit`] replaces a part of it. Edits act in the
//! order in which they were added, readers see the edited tensor. Edits are plain tensor operations,
//! so gradients flow through them. Where nothing listens, `visit` costs one comparison and formats
//! no name.
//!
//! A substitution makes a site's tensor anew of that of an earlier site. At its output site
//! substitutions come first, in the order in which they were added (each is handed what the one
//! before gave), then edits, then readers; what it gets of its input site is what the network goes on
//! with there, substitutions and edits done.

mod edit;
mod substitution;

use std::fmt;

use burn::tensor::Tensor;

pub use edit::{Change, Edit, Positions, Selection};
use substitution::Substitution;
pub use substitution::{Passed, Substitute};

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
    substitutions: Vec<Substitution<'a>>,
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

    /// Replaces what `output` gives by what `function` makes of the activity at `input` (the same site
    /// or an earlier one) and of what `output` would have given.
    #[must_use]
    pub fn substitute(
        mut self,
        input: Site,
        output: Site,
        function: impl FnMut(Passed) -> Tensor<3> + 'a,
    ) -> Self {
        self.substitutions.push(Substitution::new(input, output, function));
        self
    }

    /// The caller wants nothing but what readers and substitutions see: layers past the last wanted site need
    /// not be computed.
    #[must_use]
    pub fn without_output(mut self) -> Self {
        self.only_readers = true;
        self
    }

    /// Called by a network at the start of a run, with its sites in the order of their computation.
    pub fn begin(&mut self, sites: &[Site]) {
        self.finished = false;
        for substitution in &mut self.substitutions {
            substitution.captured = None;
        }
        self.last = if self.only_readers {
            let wanted = |site: &&Site| {
                self.readers.iter().any(|(glob, _)| glob.matches(site.name()))
                    || self.substitutions.iter().any(|one| one.output == **site)
            };
            sites.iter().rev().find(wanted).cloned()
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
        if self.are_none() {
            return false;
        }
        let name = site.to_string();
        let meets = |one: &Substitution<'_>| one.input.name() == name || one.output.name() == name;
        self.substitutions.iter().any(meets)
            || self.readers.iter().any(|(glob, _)| glob.matches(&name))
            || self.edits.iter().any(|edit| edit.site.matches(&name))
    }

    /// Whether any edit or substitution is registered.
    pub fn edits_anything(&self) -> bool {
        !self.edits.is_empty() || !self.substitutions.is_empty()
    }

    fn are_none(&self) -> bool {
        self.readers.is_empty() && self.edits.is_empty() && self.substitutions.is_empty()
    }

    /// Hands a site's tensor `[batch, position, unit]` to the taps and returns what takes its place.
    ///
    /// # Panics
    /// When an edit's direction, unit or patch does not fit the tensor; [`Taps::check`] tells the
    /// same as an error beforehand.
    pub fn visit(&mut self, site: fmt::Arguments<'_>, tensor: Tensor<3>) -> Tensor<3> {
        if self.are_none() {
            return tensor;
        }
        let name = site.to_string();
        let mut tensor = tensor;
        for substitution in &mut self.substitutions {
            if substitution.output.name() == name {
                tensor = substitution.apply(tensor, self.offset, self.sample_offset);
            }
        }
        for (edit, applied) in self.edits.iter().zip(&mut self.applied) {
            if edit.site.matches(&name) {
                *applied = true;
                tensor = edit.apply(tensor, self.offset, self.sample_offset);
            }
        }
        for substitution in &mut self.substitutions {
            if substitution.input.name() == name && substitution.input != substitution.output {
                substitution.captured = Some(tensor.clone());
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

    /// Checks that every edit and substitution finds its sites, and that edits fit their number of units.
    ///
    /// `width` gives the units of a site, `None` where it depends on the input.
    ///
    /// # Errors
    /// An edit that selects no site, or whose direction or units do not fit; a substitution of an
    /// unknown site, or of one that comes before its input.
    pub fn check(
        &self,
        network: &str,
        sites: &[Site],
        width: impl Fn(&Site) -> Option<usize>,
    ) -> Result<()> {
        for substitution in &self.substitutions {
            substitution.check(network, sites)?;
        }
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

    /// The patterns of edits, and the output sites of substitutions, that no visited site matched so
    /// far: a sign of a misspelt name.
    pub fn unapplied(&self) -> Vec<&str> {
        let edits = self.edits.iter().zip(&self.applied).filter(|(_, applied)| !**applied);
        let others = self.substitutions.iter().filter(|one| !one.applied);
        edits
            .map(|(edit, _)| edit.site.pattern())
            .chain(others.map(|one| one.output.name()))
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
    fn a_substitution_sees_its_input_after_edits_and_comes_before_edits_of_its_output() {
        let sites = ["embed", "layers.0.mlp.in", "layers.0.mlp.out", "logits"].map(Site::new);
        let mut read = Vec::new();
        let mut taps = Taps::none()
            .edit(Edit::new(glob("layers.0.mlp.in"), Change::Scale(3.0)))
            .edit(Edit::new(glob("layers.0.mlp.out"), Change::Scale(2.0)))
            .substitute(sites[1].clone(), sites[2].clone(), |passed| {
                assert_eq!((passed.position, passed.sample), (4, 7));
                passed.input * 10.0 + passed.output
            })
            .substitute(sites[2].clone(), sites[2].clone(), |passed| passed.input + 0.5)
            .read(glob("layers.0.mlp.out"), |_, x| read.push(values(x.clone())[0]));
        taps.check("tiny", &sites, |_| Some(4)).expect("fits");
        for _ in 0..2 {
            taps.begin(&sites);
            taps.set_offset(4, 7);
            for site in &sites {
                let _ = taps.visit(format_args!("{site}"), ones());
            }
        }
        assert!(taps.unapplied().is_empty());
        drop(taps);
        // ((1 · 3) · 10 + 1 + 0.5) · 2, the same in both runs.
        assert_eq!(read, [63.0, 63.0]);
    }

    #[test]
    fn a_run_without_output_goes_on_to_what_is_substituted() {
        let sites = ["embed", "layers.0.mlp.out", "logits"].map(Site::new);
        let mut seen = 0;
        let mut taps = Taps::none()
            .read(glob("embed"), |_, _| {})
            .substitute(sites[0].clone(), sites[1].clone(), |passed| {
                seen += 1;
                passed.output
            })
            .without_output();
        assert!(taps.wants(format_args!("embed")) && !taps.wants(format_args!("logits")));
        taps.begin(&sites);
        let _ = taps.visit(format_args!("embed"), ones());
        assert!(!taps.finished());
        assert_eq!(taps.unapplied(), ["layers.0.mlp.out"]);
        let _ = taps.visit(format_args!("layers.0.mlp.out"), ones());
        assert!(taps.finished());
        drop(taps);
        assert_eq!(seen, 1);
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
