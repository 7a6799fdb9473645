//! A dictionary in the place of the site that it rebuilds.

use burn::tensor::{Tensor, TensorData};
use ndarray::{Array2, Array3, Axis, s};
use nissl_core::features::{Dictionary, Features};
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::taps::{Passed, Positions, Taps};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::change::{self, FeatureEdit, Kept, changed};
use super::sites::{Sites, sites_of};
use crate::likelihood::values;

/// What becomes of the part of a site that a dictionary does not explain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorTerm {
    /// It is lost: the network goes on with what the dictionary says.
    #[default]
    LeftOut,
    /// It is added back, as it is in this run with the code as it was before features were changed.
    AddedBack,
    /// It is added back as it was in a run without any change (see [`freeze`]): with several
    /// replacements, changes in early ones do not reach the errors of later ones.
    Frozen,
}

/// A dictionary in the place of the site that it rebuilds.
#[derive(Clone, Debug)]
pub struct Replacement<'a> {
    /// The dictionary.
    pub dictionary: &'a Dictionary,
    /// Where it stands.
    pub sites: Sites,
    /// What becomes of what it does not explain.
    pub error: ErrorTerm,
    /// The features that are kept.
    pub kept: Kept,
    /// Changes of features, in order, after the choice of those kept.
    pub edits: Vec<FeatureEdit>,
    /// Where in the sequence; elsewhere the site stays as it is.
    pub positions: Positions,
    /// The errors of a run without change `[batch, position, unit]`, for [`ErrorTerm::Frozen`].
    pub frozen: Option<Array3<f32>>,
}

/// Numbers of a dense code that are held at once.
const CODE: usize = 8 << 20;

impl<'a> Replacement<'a> {
    /// All features of `features`, everywhere, the error left out.
    ///
    /// # Errors
    /// Features that do not stand on whole sites of `network`.
    pub fn of(features: &'a Features, network: &dyn LanguageNetwork) -> Result<Self> {
        Self::at(features.dictionary(), sites_of(features)?, network)
    }

    /// All features of `dictionary` at `sites`, everywhere, the error left out.
    ///
    /// # Errors
    /// Sites that `network` lacks, or of another width.
    pub fn at(
        dictionary: &'a Dictionary,
        sites: Sites,
        network: &dyn LanguageNetwork,
    ) -> Result<Self> {
        sites.check(network, dictionary)?;
        Ok(Self {
            dictionary,
            sites,
            error: ErrorTerm::LeftOut,
            kept: Kept::All,
            edits: Vec::new(),
            positions: Positions::All,
            frozen: None,
        })
    }

    /// # Errors
    /// A feature that the dictionary lacks, or a strength that is not finite.
    pub fn check(&self) -> Result<()> {
        change::check(self.dictionary, &self.kept, &self.edits)
    }

    /// The same taps with this replacement.
    ///
    /// # Errors
    /// As [`Self::check`], and an error to be frozen that is not there.
    pub fn tap<'t>(&'t self, taps: Taps<'t>) -> Result<Taps<'t>> {
        self.check()?;
        if self.error == ErrorTerm::Frozen && self.frozen.is_none() {
            let expected = "the errors of a run without change, taken beforehand";
            return Err(Error::setting("error", "frozen", expected));
        }
        let Sites { input, output } = self.sites.clone();
        Ok(taps.substitute(input, output, |passed| {
            let shape = passed.output.clone();
            // Only activity that is not finite cannot be encoded; what is made of it is not finite.
            self.apply(passed).unwrap_or_else(|error| {
                tracing::warn!(%error, "activity that a dictionary cannot encode");
                shape.full_like(f32::NAN)
            })
        }))
    }

    fn apply(&self, passed: Passed) -> Result<Tensor<3>> {
        let dims = passed.output.dims();
        let [_, positions, outputs] = dims;
        let device = passed.output.device();
        let rows: Vec<usize> = (0..dims[0] * positions)
            .filter(|row| within(&self.positions, row % positions + passed.position))
            .collect();
        if rows.is_empty() {
            return Ok(passed.output);
        }
        let input = matrix(passed.input)?;
        let mut output = matrix(passed.output)?;
        let block = (CODE / self.dictionary.features().max(1)).max(1);
        for rows in rows.chunks(block) {
            let samples = input.select(Axis(0), rows);
            let code = self.dictionary.encode(samples.view())?;
            let after = changed(&code, &self.kept, &self.edits);
            let mut said = self.dictionary.predict(samples.view(), after.view())?;
            match self.error {
                ErrorTerm::LeftOut => {}
                ErrorTerm::AddedBack => {
                    // The difference first: where nothing was changed it is exactly nothing.
                    said -= &self.dictionary.predict(samples.view(), code.view())?;
                    said += &output.select(Axis(0), rows);
                }
                ErrorTerm::Frozen => {
                    for (row, mut said) in rows.iter().zip(said.rows_mut()) {
                        let place = (row / positions, row % positions + passed.position);
                        let errors = self.frozen.as_ref();
                        if let Some(errors) = errors
                            .filter(|errors| place.0 < errors.dim().0 && place.1 < errors.dim().1)
                        {
                            said += &errors.slice(s![place.0, place.1, ..]);
                        }
                    }
                }
            }
            for (row, said) in rows.iter().zip(said.rows()) {
                output.row_mut(*row).assign(&said);
            }
        }
        let flat = output.into_raw_vec_and_offset().0;
        Ok(Tensor::from_data(TensorData::new(flat, [dims[0], positions, outputs]), &device))
    }
}

/// Takes for each of `replacements` the errors that it makes in a run of `network` over `batch` without
/// any change, and makes it add these back.
///
/// # Errors
/// A run that the network refuses, or activity that is not finite.
pub fn freeze(
    network: &dyn LanguageNetwork,
    batch: &TokenBatch,
    replacements: &mut [Replacement<'_>],
) -> Result<()> {
    let mut found: Vec<Option<(Array2<f32>, Array2<f32>)>> = vec![None; replacements.len()];
    let mut failed = None;
    let cell = &std::cell::RefCell::new((&mut found, &mut failed));
    let mut taps = Taps::none().without_output();
    for (place, one) in replacements.iter().enumerate() {
        let Sites { input, output } = one.sites.clone();
        taps = taps.substitute(input, output, move |passed| {
            let both = matrix(passed.input).and_then(|x| Ok((x, matrix(passed.output.clone())?)));
            let mut cell = cell.borrow_mut();
            match both {
                Ok(both) => cell.0[place] = Some(both),
                Err(error) => *cell.1 = Some(error),
            }
            passed.output
        });
    }
    network.forward(batch, &mut taps)?;
    drop(taps);
    if let Some(error) = failed {
        return Err(error);
    }
    for (one, both) in replacements.iter_mut().zip(found) {
        let Some((input, output)) = both else {
            return Err(Error::setting("site", one.sites.name(), "sites that the run reaches"));
        };
        let code = one.dictionary.encode(input.view())?;
        let errors = &output - &one.dictionary.predict(input.view(), code.view())?;
        let shape = (batch.batch(), batch.positions(), output.ncols());
        let errors = errors.into_shape_with_order(shape);
        let errors = errors.map_err(|error| Error::setting("errors", error, "the batch's shape"));
        one.frozen = Some(errors?);
        one.error = ErrorTerm::Frozen;
    }
    Ok(())
}

/// Whether `positions` selects `position`.
pub(super) fn within(positions: &Positions, position: usize) -> bool {
    match positions {
        Positions::All => true,
        Positions::These(these) => these.contains(&position),
        Positions::From(first) => position >= *first,
    }
}

/// A site's tensor as `[token, unit]`, batch by batch.
pub(super) fn matrix(tensor: Tensor<3>) -> Result<Array2<f32>> {
    let [batch, positions, units] = tensor.dims();
    Array2::from_shape_vec((batch * positions, units), values(tensor)?)
        .map_err(|error| Error::setting("activity", error, "rows of all units"))
}
