//! Substitutions: what a site would have given is replaced by what is made of another site of the
//! same run, as a transcoder makes an MLP's output of what the MLP reads.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::site::{Site, SiteGlob, select};

/// What a substitution works on.
#[derive(Clone, Debug)]
pub struct Passed {
    /// What stood at the input site `[batch, position, unit]`, edits included.
    pub input: Tensor<3>,
    /// What stands at the output site so far `[batch, position, unit]`.
    pub output: Tensor<3>,
    /// The position of the first column in the sequence, above 0 while a cache is in use.
    pub position: usize,
    /// The index of the first sample among all of a run.
    pub sample: usize,
}

/// Gives what takes the place of the output.
pub type Substitute<'a> = Box<dyn FnMut(Passed) -> Tensor<3> + 'a>;

/// One replacement of a site.
pub(super) struct Substitution<'a> {
    pub(super) input: Site,
    pub(super) output: Site,
    pub(super) function: Substitute<'a>,
    /// The input of the run so far; none before it was reached.
    pub(super) captured: Option<Tensor<3>>,
    pub(super) applied: bool,
}

impl<'a> Substitution<'a> {
    pub(super) fn new(
        input: Site,
        output: Site,
        function: impl FnMut(Passed) -> Tensor<3> + 'a,
    ) -> Self {
        Self { input, output, function: Box::new(function), captured: None, applied: false }
    }

    /// What takes the place of `tensor` at the output site.
    pub(super) fn apply(&mut self, tensor: Tensor<3>, position: usize, sample: usize) -> Tensor<3> {
        let input = if self.input == self.output {
            tensor.clone()
        } else {
            match self.captured.take() {
                Some(input) => input,
                None => return tensor, // A network that visits its sites in another order than told.
            }
        };
        self.applied = true;
        (self.function)(Passed { input, output: tensor, position, sample })
    }

    /// Whether both sites are there, in this order.
    pub(super) fn check(&self, network: &str, sites: &[Site]) -> Result<()> {
        let mut places = [0; 2];
        for (place, site) in places.iter_mut().zip([&self.input, &self.output]) {
            let found = sites.iter().position(|other| other == site);
            if let Some(found) = found {
                *place = found;
            } else {
                // The error of a glob that selects nothing names the nearest sites.
                select(network, sites, &[site.name().parse::<SiteGlob>()?])?;
                let expected = "one site, without `*` and `{}`";
                return Err(Error::setting("site", site.name(), expected));
            }
        }
        if places[0] > places[1] {
            let expected = format!("a site before {}, which is to be made of it", self.output);
            return Err(Error::setting("input site", self.input.name(), expected));
        }
        Ok(())
    }
}
