//! Features as weights: what each writes into the residual stream, and what it reads from it.
//!
//! A feature of a residual site stands in the stream itself: it writes its decoder row and reads its
//! encoder row. A feature of MLP activations writes `z W_down` and reads `e W_up`, as far as the gate
//! lets it: the direction along which the inputs of its neurons grow. A transcoder's feature writes its
//! row over its target and reads its encoder row over its input; that of an MLP's input reads the
//! stream through the norm before it, whose gain may be folded in. Features over several sites add up.
//!
//! Memory: the directions, and a block of a layer's map.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};
use nissl_core::features::Features;
use nissl_core::network::{HeadNorm, Part, ResidualWeights, TokenTable, Tokenizer};
use nissl_core::{Error, Result, Site, Table};

use super::matrix::{copy, wrong_width};

/// Features as weights with one layer: [`Part::Down`] is what each writes and, where they have an
/// encoder of their own, [`Part::Up`] what each reads, through the head of a network.
pub struct FeatureWeights<'a> {
    network: &'a dyn ResidualWeights,
    write: Array2<f32>,
    read: Option<Array2<f32>>,
    parts: Vec<Part>,
    /// The layer whose norm stands between the stream and what all features read.
    behind: Option<usize>,
}

/// Units of a layer's map in memory at once.
const BLOCK: usize = 1024;

impl<'a> FeatureWeights<'a> {
    /// Features that write and read the vectors `[feature, residual]` of `network`.
    ///
    /// # Errors
    /// Vectors of another width, or not one to read for each to write.
    pub fn new(
        network: &'a dyn ResidualWeights,
        write: Array2<f32>,
        read: Option<Array2<f32>>,
    ) -> Result<Self> {
        let width = network.residual_width();
        for (what, matrix) in [("what they write", Some(&write)), ("what they read", read.as_ref())]
        {
            if let Some(matrix) = matrix
                && matrix.ncols() != width
            {
                return Err(wrong_width("these features", what, matrix.ncols(), width));
            }
        }
        if let Some(read) = &read
            && read.nrows() != write.nrows()
        {
            let expected = format!("{}, as the decoder", write.nrows());
            return Err(Error::setting("encoder", read.nrows(), expected));
        }
        let mut parts = vec![Part::Down];
        if read.is_some() {
            parts.push(Part::Up);
        }
        Ok(Self { network, write, read, parts, behind: None })
    }

    /// Stored features through the weights of the network that was recorded.
    ///
    /// # Errors
    /// Units of a site that does not write into the residual stream, that do not fit `network`, or
    /// weights that cannot be read.
    pub fn of(network: &'a dyn ResidualWeights, features: &Features) -> Result<Self> {
        let dictionary = features.dictionary();
        let (inputs, outputs) = (features.unit_table(), features.output_unit_table());
        let write = through(network, dictionary.written(), outputs, Part::Down)?;
        // What a transcoder's decoder holds is what it reads.
        let reads = match (&dictionary.encoder, &dictionary.output_decoder) {
            (None, Some(_)) => Some(&dictionary.decoder),
            (encoder, _) => encoder.as_ref(),
        };
        let read = match reads {
            Some(reads) => Some(through(network, reads.view(), inputs, Part::Up)?),
            None => None,
        };
        Ok(Self { behind: norm_before(inputs)?, ..Self::new(network, write, read)? })
    }
}

/// The layer whose MLP norms what the units of `table` are, where that is one layer.
fn norm_before(table: &Table) -> Result<Option<usize>> {
    let sites = table.texts("site")?;
    let first = Site::new(sites.first().map_or("", String::as_str));
    let one = first.part() == "mlp.in" && sites.iter().all(|site| site == first.name());
    Ok(first.layer().filter(|_| one))
}

/// Directions `[feature, unit]` over the units of `table` as vectors `[feature, residual]`, those of
/// MLP activations through `part` of their layer.
fn through(
    network: &dyn ResidualWeights,
    directions: ArrayView2<'_, f32>,
    table: &Table,
    part: Part,
) -> Result<Array2<f32>> {
    let (sites, indices) = (table.texts("site")?, table.u32s("index")?);
    let width = network.residual_width();
    let mut sum = Array2::<f32>::zeros((directions.nrows(), width));
    let mut start = 0;
    for same in sites.chunk_by(|a, b| a == b) {
        let units = start..start + same.len();
        start = units.end;
        let site = Site::new(same[0].as_str());
        let size = match (site.layer(), site.part()) {
            (Some(layer), "mlp.act") => {
                network.check(layer, part)?;
                network.units(part)
            }
            (_, "embed" | "resid.pre" | "resid.mid" | "resid.post" | "mlp.out" | "attn.out") => {
                width
            }
            (Some(_), "mlp.in") if part.reads() => width,
            _ => {
                let expected = if part.reads() {
                    "mlp.act, mlp.in, or a site of the residual stream"
                } else {
                    "mlp.act, or a site of the residual stream"
                };
                return Err(Error::setting("site", site, expected));
            }
        };
        // The dictionary may hold a part of the site's units.
        let mut whole = Array2::<f32>::zeros((directions.nrows(), size));
        for unit in units {
            let index = indices[unit] as usize;
            if index >= size {
                let expected = format!("below {size}, the units of {site} of {}", network.id());
                return Err(Error::setting("unit", index, expected));
            }
            whole.column_mut(index).assign(&directions.column(unit));
        }
        match (site.layer(), site.part()) {
            (Some(layer), "mlp.act") => {
                for first in (0..size).step_by(BLOCK) {
                    let units = first..(first + BLOCK).min(size);
                    let mut map = Array2::<f32>::zeros((units.len(), width));
                    if let Some(out) = map.as_slice_mut() {
                        network.read_units(layer, part, units.clone(), out)?;
                    }
                    sum += &whole.slice(s![.., units]).dot(&map);
                }
            }
            _ => sum += &whole,
        }
    }
    Ok(sum)
}

impl ResidualWeights for FeatureWeights<'_> {
    fn id(&self) -> &str {
        self.network.id()
    }

    fn layers(&self) -> usize {
        1
    }

    fn residual_width(&self) -> usize {
        self.network.residual_width()
    }

    fn vocabulary(&self) -> usize {
        self.network.vocabulary()
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn units(&self, _part: Part) -> usize {
        self.write.nrows()
    }

    fn read_units(
        &self,
        layer: usize,
        part: Part,
        units: Range<usize>,
        out: &mut [f32],
    ) -> Result<()> {
        self.check(layer, part)?;
        let matrix = if part.reads() { self.read.as_ref() } else { Some(&self.write) };
        copy(matrix.unwrap_or(&self.write).view(), "feature", units, out)
    }

    fn read_tokens(&self, table: TokenTable, tokens: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.network.read_tokens(table, tokens, out)
    }

    fn head_is_tied(&self) -> bool {
        self.network.head_is_tied()
    }

    fn input_gain(&self, layer: usize, part: Part) -> Result<Option<Vec<f32>>> {
        self.check(layer, part)?;
        match self.behind.filter(|_| part.reads()) {
            Some(behind) => self.network.input_gain(behind, part),
            // Other features stand in the stream, behind no norm.
            None => Ok(None),
        }
    }

    fn head_norm(&self) -> Result<HeadNorm> {
        self.network.head_norm()
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        self.network.tokenizer()
    }
}
