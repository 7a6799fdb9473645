//! Edges of sections that state their squared effects themselves.

use ndarray::{Array2, ArrayView2};
use nissl_core::section::{Extent, Rule, Section};
use nissl_core::{Progress, Result};

use super::super::{EdgeFormula, Edges};
use super::{Mixed, case};

/// [`Mixed`] with squared effects that it states itself, true or not.
struct Stated;

impl Section for Stated {
    fn name(&self) -> &'static str {
        "x"
    }

    fn extent(&self) -> Extent {
        Mixed.extent()
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        Mixed.forward(inputs)
    }

    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        Mixed.push(inputs, tangents)
    }

    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        Mixed.pull(inputs, cotangents)
    }

    fn squared_effects(
        &self,
        new: ArrayView2<'_, f64>,
        back: ArrayView2<'_, f64>,
        into: ArrayView2<'_, f64>,
        _points: &[[f64; 2]],
    ) -> Result<Option<Array2<f64>>> {
        let value = new.nrows() as f64;
        Ok(Some(Array2::from_shape_fn((back.nrows(), into.ncols()), |(j, i)| {
            value * (10 * j + i) as f64
        })))
    }
}

#[test]
fn what_a_section_states_itself_is_taken_for_squared_edges_alone() {
    let (chain, bases, held) = case(Box::new(Stated), 5);
    let (plain, _, _) = case(Box::new(Mixed), 5);
    let quiet = Progress::silent();
    let found = Edges::default().all(&chain, &held, &bases, &quiet).expect("found");
    let told = Array2::from_shape_fn((3, 4), |(i, j)| (10 * j + i) as f64);
    assert_eq!(found[0].weights, told, "a mean over samples and positions, targets first");
    let functional = EdgeFormula::Functional;
    let settings =
        Edges { formula: functional, integration: Rule::GaussLegendre, ..Edges::default() };
    let [found, known] = [&chain, &plain]
        .map(|chain| settings.all(chain, &held, &bases, &quiet).expect("found").remove(0));
    assert_eq!(found, known);
}
