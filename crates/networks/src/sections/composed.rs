//! Sections made one: what lies between two chosen node layers.
//!
//! Linear maps are multiplied out, also into the hidden layer before or after them, so that closed
//! forms are kept; the rest is run part by part.

use ndarray::{Array2, ArrayView2};
use nissl_core::features::product;
use nissl_core::section::{Affine, Extent, Form, Hidden, Nonlinearity, Section};
use nissl_core::{Error, Result};

/// Several sections as one.
struct Composed {
    parts: Vec<Box<dyn Section>>,
}

/// One section for all `parts`, which are not empty.
///
/// # Errors
/// No parts.
pub(super) fn composed(parts: Vec<Box<dyn Section>>) -> Result<Box<dyn Section>> {
    let mut kept: Vec<Box<dyn Section>> = Vec::with_capacity(parts.len());
    for part in parts {
        match kept.last().and_then(|before| multiplied(before.as_ref(), part.as_ref())) {
            Some(one) => {
                kept.pop();
                kept.push(one);
            }
            None => kept.push(part),
        }
    }
    match kept.len() {
        0 => {
            let what = "the part of the network between two node layers".to_owned();
            Err(Error::Empty { what, expected: "at least one section".to_owned() })
        }
        1 => Ok(kept.remove(0)),
        _ => Ok(Box::new(Composed { parts: kept })),
    }
}

/// Two neighbours as one map, where one of them is linear and the other of known form.
fn multiplied(before: &dyn Section, after: &dyn Section) -> Option<Box<dyn Section>> {
    let (name, positions) = (before.name().to_owned(), before.extent().positions_in);
    let nonlinearity = Nonlinearity::Relu;
    match (before.form(), after.form()) {
        (Form::Linear(a), Form::Linear(b)) => {
            Some(Box::new(Affine { name, positions, weight: product(a, b) }))
        }
        (Form::Linear(a), Form::Relu { straight, into, out }) => Some(Box::new(Hidden {
            name,
            positions,
            straight: product(a, straight),
            into: product(a, into),
            out: out.to_owned(),
            nonlinearity,
        })),
        (Form::Relu { straight, into, out }, Form::Linear(b)) => Some(Box::new(Hidden {
            name,
            positions,
            straight: product(straight, b),
            into: into.to_owned(),
            out: product(out, b),
            nonlinearity,
        })),
        _ => None,
    }
}

impl Composed {
    /// The inputs of every part.
    fn inputs(&self, first: ArrayView2<'_, f64>) -> Result<Vec<Array2<f64>>> {
        let mut all = vec![first.to_owned()];
        for part in &self.parts[..self.parts.len() - 1] {
            let next = part.forward(all[all.len() - 1].view())?;
            all.push(next);
        }
        Ok(all)
    }
}

impl Section for Composed {
    fn name(&self) -> &str {
        self.parts[0].name()
    }

    fn extent(&self) -> Extent {
        let (first, last) = (self.parts[0].extent(), self.parts[self.parts.len() - 1].extent());
        Extent { positions_out: last.positions_out, outputs: last.outputs, ..first }
    }

    fn isolated(&self) -> Option<usize> {
        self.parts[0].isolated()
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let mut now = self.parts[0].forward(inputs)?;
        for part in &self.parts[1..] {
            now = part.forward(now.view())?;
        }
        Ok(now)
    }

    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        let mut pushed = self.pushes(inputs, &[tangents.to_owned()])?;
        Ok(pushed.remove(0))
    }

    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        let mut pulled = self.pulls(inputs, &[cotangents.to_owned()])?;
        Ok(pulled.remove(0))
    }

    fn pushes(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        let inputs = self.inputs(inputs)?;
        let mut now = self.parts[0].pushes(inputs[0].view(), tangents)?;
        for (part, inputs) in self.parts.iter().zip(&inputs).skip(1) {
            now = part.pushes(inputs.view(), &now)?;
        }
        Ok(now)
    }

    fn pulls(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        let inputs = self.inputs(inputs)?;
        let mut now = cotangents.to_vec();
        for (part, inputs) in self.parts.iter().zip(&inputs).rev() {
            now = part.pulls(inputs.view(), &now)?;
        }
        Ok(now)
    }
}
