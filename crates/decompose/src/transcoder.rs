//! Transcoders: a sparse layer that says from what a part of a network reads what it writes.
//!
//! `z = act(W_enc x + b_enc)`, `ŷ = W_decᵀ z + b_out (+ W_skip x)`, rows of `W_dec` of norm 1;
//! loss `‖ŷ − y‖²/E‖y − ȳ‖² + λ Σ z_i‖w_dec,i‖`, or that of the paper.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §3.1 and appendix; Paulo, Shabalin, Belrose
//! 2025, arXiv:2501.18823, §3 (skip).
//! Differs: no `b_in`, which `b_enc` makes redundant; top-k by default, which has no penalty to tune.
//! Memory: see `sparse_training`.

use nissl_core::error::nearest;
use nissl_core::features::{Decompose, Dictionary};
use nissl_core::{Error, Progress, Recording, Result, Site, SiteGlob};
use serde::{Deserialize, Serialize};

use crate::sparse_training::{Run, Shuffled, Trained, Training, train};

/// Hyperparameters of a transcoder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Transcoder {
    /// The site that is predicted, such as layers.2.mlp.out
    #[arg(long, value_name = "SITE", required = true, help_heading = "Dictionary")]
    pub target: Option<String>,
    /// The site that it is predicted from, such as layers.2.mlp.in; by default the other one
    #[arg(long, value_name = "SITE", help_heading = "Dictionary")]
    pub input: Option<String>,
    /// Let a linear map of the input add to the prediction (skip transcoder)
    #[arg(long, help_heading = "Dictionary")]
    pub skip: bool,
    /// How it is trained
    #[command(flatten)]
    #[serde(flatten)]
    pub training: Training,
}

impl Decompose for Transcoder {
    fn name(&self) -> &'static str {
        "transcoder"
    }

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        let samples = self.training.samples(Some(rows.len()))?;
        let run = Run { skip: self.skip, ..Run::of(samples, progress) };
        Ok(self.fit_in(recording, rows, &run)?.dictionary)
    }
}

/// A recording limited to the two sites of a transcoder.
#[derive(Clone, Debug)]
pub struct Sides {
    /// What it reads.
    pub input: Recording,
    /// What it predicts.
    pub target: Recording,
}

impl Transcoder {
    /// As [`Decompose::fit`], with all that a training gives, and resumable.
    ///
    /// # Errors
    /// As [`train`], and as [`Self::sides`].
    pub fn fit_in(&self, recording: &Recording, rows: &[usize], run: &Run<'_>) -> Result<Trained> {
        let Sides { input, target } = self.sides(recording)?;
        let Training { memory_mib, seed, .. } = self.training;
        let mut stream = Shuffled::recording(&input, Some(&target), rows, memory_mib, seed)?;
        train(&self.training, &mut stream, run)
    }

    /// The two sites in a recording that holds both.
    ///
    /// # Errors
    /// A site that was not recorded, a recording of one site, or no input where there are several.
    pub fn sides(&self, recording: &Recording) -> Result<Sides> {
        let sites = recording.sites();
        let told = || sites.iter().map(Site::name).collect::<Vec<_>>().join(", ");
        let Some(target) = &self.target else {
            let expected = format!("the site that is predicted: {}", told());
            return Err(Error::setting("target", "none", expected));
        };
        if let [site] = sites.as_slice() {
            return Err(Error::setting("target", target, format!("a site beside {}", site.name()))
                .with_help(
                    "record both sites of the transcoder at once: nissl record MODEL \
                     --site 'layers.0.mlp.in' --site 'layers.0.mlp.out'",
                ));
        }
        let known = |field: &str, name: &str| {
            if sites.iter().any(|site| site.name() == name) {
                return Ok(());
            }
            let near = nearest(name, sites.iter().map(Site::name));
            let near = near.first().map(|near| format!(" (nearest: {near})")).unwrap_or_default();
            Err(Error::setting(field, name, format!("a recorded site: {}{near}", told())))
        };
        known("target", target)?;
        let input = match (&self.input, sites.as_slice()) {
            (Some(input), _) => input.clone(),
            (None, [a, b]) => (if a.name() == target { b } else { a }).name().to_owned(),
            (None, _) => {
                let expected = format!("the site it is predicted from: {}", told());
                return Err(Error::setting("input", "none", expected));
            }
        };
        known("input", &input)?;
        if input == *target {
            let expected = "another site than the target; `sae` rebuilds a site from itself";
            return Err(Error::setting("input", input, expected));
        }
        let only = |name: &str| recording.only(&name.parse::<SiteGlob>()?);
        Ok(Sides { input: only(&input)?, target: only(target)? })
    }
}
