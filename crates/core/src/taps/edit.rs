//! Edits: what replaces a part of a site's tensor.

use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;

use crate::seed::rng;
use crate::site::SiteGlob;

/// A change of the activity at the sites that a glob selects.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Where in the network.
    pub site: SiteGlob,
    /// What happens.
    pub change: Change,
    /// To which samples, positions and units.
    pub selection: Selection,
}

/// How activity is changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Replace by a constant (0 ablates).
    Set(f32),
    /// Replace by one value for each unit `[unit]`, such as the units' means.
    SetUnits(Vec<f32>),
    /// Multiply by a constant.
    Scale(f32),
    /// Add a direction `[unit]`, already at its strength.
    Add(Vec<f32>),
    /// Add a direction given as a tensor `[unit]`, through which gradients flow.
    AddTensor(Tensor<1>),
    /// Replace by rows of a pool `[row, unit]`, drawn anew for each sample and position.
    Resample {
        /// Reference activity `[row, unit]`.
        pool: Tensor<2>,
        /// Seed of the draw.
        seed: u64,
    },
    /// Replace by the activity of another run `[batch, position, unit]`; positions count from 0.
    Patch(Tensor<3>),
}

/// The part of a site's tensor that an edit touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Indices along the batch, counted over all batches of a run; `None` is all.
    pub samples: Option<Vec<usize>>,
    /// Positions in the sequence.
    pub positions: Positions,
    /// Units of the site; `None` is all.
    pub units: Option<Vec<usize>>,
}

/// Positions in a sequence, counted from its start also while a cache is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// Every position.
    #[default]
    All,
    /// These positions.
    These(Vec<usize>),
    /// This position and all after it.
    From(usize),
}

impl Edit {
    /// An edit of all samples, positions and units of the sites that `site` selects.
    pub fn new(site: SiteGlob, change: Change) -> Self {
        Self { site, change, selection: Selection::default() }
    }

    /// The same edit limited to `selection`.
    #[must_use]
    pub fn on(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }
}

impl Edit {
    pub(super) fn apply(
        &self,
        tensor: Tensor<3>,
        offset: usize,
        sample_offset: usize,
    ) -> Tensor<3> {
        let dims = tensor.dims();
        let [batch, positions, units] = dims;
        let device = tensor.device();
        let changed = match &self.change {
            Change::Set(value) => tensor.full_like(*value),
            Change::SetUnits(values) => row(values, &tensor).expand(dims),
            Change::Scale(factor) => tensor.clone() * *factor,
            Change::Add(direction) => tensor.clone() + row(direction, &tensor),
            Change::AddTensor(direction) => {
                tensor.clone() + direction.clone().reshape([1, 1, units])
            }
            Change::Resample { pool, seed } => {
                let mut rng = rng(*seed, (offset * 65_537 + sample_offset) as u64);
                let rows = pool.dims()[0];
                let drawn: Vec<i64> =
                    (0..batch * positions).map(|_| rng.random_range(0..rows) as i64).collect();
                let places = Tensor::<1, Int>::from_data(
                    TensorData::new(drawn, [batch * positions]),
                    &device,
                );
                pool.clone().select(0, places).reshape(dims)
            }
            Change::Patch(other) => {
                let [other_batch, other_positions, _] = other.dims();
                let end = (offset + positions).min(other_positions);
                if offset >= end {
                    return tensor;
                }
                let part = other.clone().slice([0..other_batch, offset..end, 0..units]);
                let part = if other_batch == batch {
                    part
                } else {
                    part.slice([0..1, 0..end - offset, 0..units]).expand([
                        batch,
                        end - offset,
                        units,
                    ])
                };
                if end - offset == positions {
                    part
                } else {
                    let rest = tensor.clone().slice([0..batch, end - offset..positions, 0..units]);
                    Tensor::cat(vec![part, rest], 1)
                }
            }
        };
        let Selection { samples, positions: where_, units: which } = &self.selection;
        let mut kept = None;
        if let Some(samples) = samples {
            let mask = flags(batch, |index| samples.contains(&(index + sample_offset)));
            kept = Some(times(kept, mask, [batch, 1, 1], &tensor));
        }
        match where_ {
            Positions::All => {}
            Positions::These(these) => {
                let mask = flags(positions, |index| these.contains(&(index + offset)));
                kept = Some(times(kept, mask, [1, positions, 1], &tensor));
            }
            Positions::From(first) => {
                let mask = flags(positions, |index| index + offset >= *first);
                kept = Some(times(kept, mask, [1, positions, 1], &tensor));
            }
        }
        if let Some(which) = which {
            let mask = flags(units, |index| which.contains(&index));
            kept = Some(times(kept, mask, [1, 1, units], &tensor));
        }
        match kept {
            None => changed,
            // Selected by comparison, not by multiplication: an unselected NaN must stay out.
            Some(mask) => {
                let mask = mask.expand(dims).greater_elem(0.5);
                tensor.mask_where(mask, changed)
            }
        }
    }
}

fn row(values: &[f32], like: &Tensor<3>) -> Tensor<3> {
    let data = TensorData::new(values.to_vec(), [1, 1, values.len()]);
    Tensor::from_data(data, &like.device())
}

fn flags(size: usize, chosen: impl Fn(usize) -> bool) -> Vec<f32> {
    (0..size).map(|index| f32::from(u8::from(chosen(index)))).collect()
}

fn times(
    before: Option<Tensor<3>>,
    mask: Vec<f32>,
    shape: [usize; 3],
    like: &Tensor<3>,
) -> Tensor<3> {
    let mask = Tensor::<3>::from_data(TensorData::new(mask, shape), &like.device());
    match before {
        None => mask,
        Some(other) => other * mask,
    }
}
