//! `InteractionBasis`: new coordinates for every node layer of a chain of sections.
//!
//! New coordinates `f̂ = f C`, back `f = f̂ C⁺`, vectors in order of importance, the constant first.
//! In a file: for the node layer `n` the arrays `n.into` (C), `n.back` (C⁺), `n.importance` (Λ),
//! `n.spectrum` (D) and `n.mean` (μ), and a header with the rest.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3.

use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use super::arrays::Arrays;
use crate::error::{Error, Result};
use crate::features::product;

/// The new coordinates of one node layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// The name of the node layer.
    pub node_layer: String,
    /// `C` `[coordinate, vector]`: new coordinates of a row `f` are `f C`.
    pub into: Array2<f64>,
    /// `C⁺` `[vector, coordinate]`: leads back.
    pub back: Array2<f64>,
    /// `Λ` `[vector]`; of `pca` and `svd` the eigenvalues `D`, of `neuron` ones.
    pub importance: Array1<f64>,
    /// `D` `[coordinate]`: all eigenvalues of the Gram matrix, those that were dropped too.
    pub spectrum: Array1<f64>,
    /// `μ` `[coordinate]`, the last 1; zeros before it where nothing was centred.
    pub mean: Array1<f64>,
    /// The vector that holds the constant and nothing else; `None` where no vector does.
    pub constant: Option<usize>,
    /// How many directions were dropped: coordinates less vectors.
    pub dropped: usize,
}

impl Basis {
    /// The basis that changes nothing.
    pub fn identity(node_layer: &str, coordinates: usize) -> Self {
        let mut mean = Array1::zeros(coordinates);
        if let Some(last) = mean.last_mut() {
            *last = 1.0;
        }
        Self {
            node_layer: node_layer.to_owned(),
            into: Array2::eye(coordinates),
            back: Array2::eye(coordinates),
            importance: Array1::ones(coordinates),
            spectrum: Array1::ones(coordinates),
            mean,
            constant: coordinates.checked_sub(1),
            dropped: 0,
        }
    }

    /// The number of coordinates of the node layer, the constant among them.
    pub fn coordinates(&self) -> usize {
        self.into.nrows()
    }

    /// The number of vectors.
    pub fn vectors(&self) -> usize {
        self.into.ncols()
    }

    /// New coordinates `[row, vector]` of `rows` `[row, coordinate]`.
    ///
    /// # Errors
    /// Rows of another number of coordinates.
    pub fn project(&self, rows: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.fits(rows.ncols(), self.coordinates(), "coordinates")?;
        Ok(product(rows, self.into.view()))
    }

    /// Rows `[row, coordinate]` of new coordinates `[row, vector]`.
    ///
    /// # Errors
    /// Another number of vectors.
    pub fn restore(&self, vectors: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.fits(vectors.ncols(), self.vectors(), "vectors")?;
        Ok(product(vectors, self.back.view()))
    }

    /// `C_{:,1..k} C⁺_{1..k,:}` `[coordinate, coordinate]` for the first `kept` vectors. Where `kept`
    /// is the number of coordinates, the network is to be left untouched: the identity.
    pub fn projector(&self, kept: usize) -> Array2<f64> {
        if kept >= self.coordinates() {
            return Array2::eye(self.coordinates());
        }
        let kept = kept.min(self.vectors());
        product(self.into.slice(s![.., ..kept]), self.back.slice(s![..kept, ..]))
    }

    fn fits(&self, found: usize, expected: usize, what: &str) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let expected = format!("{expected}, as in the basis of {}", self.node_layer);
        Err(Error::setting(what, found, expected))
    }
}

/// The bases of all node layers of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionBasis {
    /// The settings they were found with, as JSON.
    pub settings: serde_json::Value,
    /// The number of samples they were found on.
    pub samples: u64,
    /// What the reader must know.
    pub warnings: Vec<String>,
    /// In the order of the chain, its end included.
    pub node_layers: Vec<Basis>,
}

/// What stands in the header of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: String,
    settings: serde_json::Value,
    samples: u64,
    warnings: Vec<String>,
    node_layers: Vec<Layer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    name: String,
    constant: Option<usize>,
    dropped: usize,
}

/// What the header of such a file calls itself.
const KIND: &str = "interaction-basis";

impl InteractionBasis {
    /// The basis of a node layer.
    ///
    /// # Errors
    /// No such node layer; names those there are.
    pub fn of(&self, node_layer: &str) -> Result<&Basis> {
        self.node_layers.iter().find(|basis| basis.node_layer == node_layer).ok_or_else(|| {
            let known: Vec<_> =
                self.node_layers.iter().map(|basis| basis.node_layer.as_str()).collect();
            Error::setting("node_layer", node_layer, format!("one of {}", known.join(", ")))
        })
    }

    /// Writes them as one file.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn save(&self, path: &Path) -> Result<()> {
        let layers = self.node_layers.iter().map(|basis| Layer {
            name: basis.node_layer.clone(),
            constant: basis.constant,
            dropped: basis.dropped,
        });
        let mut file = Arrays::new(&Header {
            kind: KIND.to_owned(),
            settings: self.settings.clone(),
            samples: self.samples,
            warnings: self.warnings.clone(),
            node_layers: layers.collect(),
        })?;
        for (n, basis) in self.node_layers.iter().enumerate() {
            let arrays = [
                ("into", basis.into.clone().into_dyn()),
                ("back", basis.back.clone().into_dyn()),
                ("importance", basis.importance.clone().into_dyn()),
                ("spectrum", basis.spectrum.clone().into_dyn()),
                ("mean", basis.mean.clone().into_dyn()),
            ];
            file.arrays.extend(arrays.map(|(name, array)| (format!("{n}.{name}"), array)));
        }
        file.write(path)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// A file that is damaged, of another kind, or whose arrays do not fit each other.
    pub fn load(path: &Path) -> Result<Self> {
        let mut file = Arrays::read(path)?;
        let header: Header = file.typed(path)?;
        if header.kind != KIND {
            return Err(Error::file(path, "kind", header.kind, KIND));
        }
        let mut node_layers = Vec::with_capacity(header.node_layers.len());
        for (n, Layer { name, constant, dropped }) in header.node_layers.into_iter().enumerate() {
            let at = |part: &str| format!("{n}.{part}");
            let basis = Basis {
                node_layer: name,
                into: file.matrix(path, &at("into"))?,
                back: file.matrix(path, &at("back"))?,
                importance: file.vector(path, &at("importance"))?,
                spectrum: file.vector(path, &at("spectrum"))?,
                mean: file.vector(path, &at("mean"))?,
                constant,
                dropped,
            };
            let (coordinates, vectors) = basis.into.dim();
            let fits = basis.back.dim() == (vectors, coordinates)
                && basis.importance.len() == vectors
                && basis.spectrum.len() == coordinates
                && basis.mean.len() == coordinates
                && constant.is_none_or(|vector| vector < vectors);
            if !fits {
                let found = format!("C of {coordinates} by {vectors} among other shapes");
                let expected = "C⁺, Λ, D and μ that fit C";
                return Err(Error::file(path, &basis.node_layer, found, expected));
            }
            node_layers.push(basis);
        }
        let Header { settings, samples, warnings, .. } = header;
        Ok(Self { settings, samples, warnings, node_layers })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn planted() -> InteractionBasis {
        let basis = Basis {
            node_layer: "y".to_owned(),
            into: array![[0.0, 2.0], [0.0, 0.1], [1.0, -3.0]],
            back: array![[1.5, 0.0, 1.0], [0.5, 0.0, 0.0]],
            importance: array![1.0, 0.25],
            spectrum: array![1.0, 4.0, 1e-30],
            mean: array![1.5, 0.0, 1.0],
            constant: Some(0),
            dropped: 1,
        };
        let node_layers = vec![Basis::identity("x", 2), basis];
        let settings = serde_json::json!({ "basis": "lib" });
        let warnings = vec!["few samples".to_owned()];
        InteractionBasis { settings, samples: 7, warnings, node_layers }
    }

    #[test]
    fn a_basis_is_read_as_written_and_wrong_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("basis.safetensors");
        let basis = planted();
        basis.save(&path).expect("writes");
        assert_eq!(InteractionBasis::load(&path).expect("reads"), basis);
        let mut wrong = planted();
        wrong.node_layers[1].mean = array![1.0];
        wrong.save(&path).expect("writes");
        assert!(InteractionBasis::load(&path).is_err(), "a mean of another size");
        let mut other = planted();
        other.node_layers[1].into[[0, 0]] = f64::NAN;
        other.save(&path).expect("writes");
        let error = InteractionBasis::load(&path).expect_err("not a number").to_string();
        assert!(error.contains("1.into") && error.contains("NaN"), "{error}");
        Arrays::new(&serde_json::json!({ "kind": "sums" })).expect("fits").write(&path).expect("");
        assert!(InteractionBasis::load(&path).is_err(), "another kind");
    }

    #[test]
    fn there_and_back_is_the_projector() {
        let basis = planted();
        let y = basis.of("y").expect("is there");
        let rows = array![[2.5, 7.0, 1.0]];
        let there = y.project(rows.view()).expect("fits");
        let back = y.restore(there.view()).expect("fits");
        assert_eq!(back, rows.dot(&y.projector(2)));
        assert!((back[[0, 2]] - 1.0).abs() < 1e-12, "the constant stays");
        assert_eq!(y.projector(3), Array2::<f64>::eye(3), "all kept is the untouched network");
        assert_eq!(y.projector(1), array![[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.5, 0.0, 1.0]]);
        let error = basis.of("z").expect_err("no such layer").to_string();
        assert!(error.contains("x, y"), "{error}");
        assert!(y.project(array![[1.0]].view()).is_err());
    }
}
