//! Weights that lie in memory: non-text heads and arrays of other tools.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};
use nissl_core::network::{HeadNorm, Part, ResidualWeights, TokenSpan, TokenTable, Tokenizer};
use nissl_core::{Error, Result};

/// Matrices in memory as weights: one head, and parts of one or more layers.
///
/// The head may be over anything: the classes of a vision network, the behaviours that a decoder of
/// recorded brains tells.
pub struct MatrixWeights {
    id: String,
    head: Array2<f32>,
    embed: Option<Array2<f32>>,
    parts: Vec<Part>,
    layers: BTreeMap<Part, Vec<Array2<f32>>>,
    norm: HeadNorm,
    gains: Vec<Vec<f32>>,
    tokenizer: Option<Box<dyn Tokenizer>>,
}

impl MatrixWeights {
    /// A head `[token, residual]` named `id`, without units yet, tied and without norms.
    pub fn new(id: impl Into<String>, head: Array2<f32>) -> Self {
        Self {
            id: id.into(),
            head,
            embed: None,
            parts: Vec::new(),
            layers: BTreeMap::new(),
            norm: HeadNorm::default(),
            gains: Vec::new(),
            tokenizer: None,
        }
    }

    /// The same weights with the vectors `[unit, residual]` of a part, one matrix a layer.
    ///
    /// # Errors
    /// Matrices of another width than the head, of different heights, or fewer or more layers than
    /// other parts have.
    pub fn with_part(mut self, part: Part, layers: Vec<Array2<f32>>) -> Result<Self> {
        let width = self.head.ncols();
        for matrix in &layers {
            if matrix.ncols() != width {
                return Err(wrong_width(&self.id, part.name(), matrix.ncols(), width));
            }
            if matrix.nrows() != layers[0].nrows() {
                let expected = format!("{}, as in the first layer", layers[0].nrows());
                return Err(Error::setting("units", matrix.nrows(), expected));
            }
        }
        if let Some(other) = self.layers.values().next()
            && other.len() != layers.len()
        {
            let expected = format!("{}, as the other parts have", other.len());
            return Err(Error::setting("layers", layers.len(), expected));
        }
        if !self.parts.contains(&part) {
            self.parts.push(part);
        }
        self.layers.insert(part, layers);
        Ok(self)
    }

    /// The same weights with an embedding `[token, residual]` that is not the head.
    ///
    /// # Errors
    /// Another shape than the head's.
    pub fn with_embedding(mut self, embed: Array2<f32>) -> Result<Self> {
        if embed.dim() != self.head.dim() {
            let expected = format!("{:?}, as the head", self.head.dim());
            return Err(Error::setting("embedding", format!("{:?}", embed.dim()), expected));
        }
        self.embed = Some(embed);
        Ok(self)
    }

    /// The same weights with a norm before the head.
    #[must_use]
    pub fn with_head_norm(mut self, norm: HeadNorm) -> Self {
        self.norm = norm;
        self
    }

    /// The same weights with the gain `[residual]` of the norm before each layer's reading parts.
    #[must_use]
    pub fn with_input_gains(mut self, gains: Vec<Vec<f32>>) -> Self {
        self.gains = gains;
        self
    }

    /// The same weights with names for the rows of the head.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: Box<dyn Tokenizer>) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// The same weights with the head's rows named by `labels`.
    ///
    /// # Errors
    /// More labels than rows.
    pub fn with_labels(self, labels: Vec<String>) -> Result<Self> {
        if labels.len() > self.head.nrows() {
            let expected = format!("at most {}, the rows of the head", self.head.nrows());
            return Err(Error::setting("labels", labels.len(), expected));
        }
        Ok(self.with_tokenizer(Box::new(Labels(labels))))
    }
}

pub(super) fn wrong_width(id: &str, what: &str, found: usize, expected: usize) -> Error {
    Error::Units {
        left: format!("{what} of {id}"),
        found,
        right: "the head".to_owned(),
        expected,
        help: Some("are they of one network? an adapter's rows have another width".to_owned()),
    }
}

impl ResidualWeights for MatrixWeights {
    fn id(&self) -> &str {
        &self.id
    }

    fn layers(&self) -> usize {
        self.layers.values().next().map_or(0, Vec::len)
    }

    fn residual_width(&self) -> usize {
        self.head.ncols()
    }

    fn vocabulary(&self) -> usize {
        self.head.nrows()
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn units(&self, part: Part) -> usize {
        self.layers.get(&part).and_then(|layers| layers.first()).map_or(0, Array2::nrows)
    }

    fn read_units(
        &self,
        layer: usize,
        part: Part,
        units: Range<usize>,
        out: &mut [f32],
    ) -> Result<()> {
        self.check(layer, part)?;
        copy(self.layers[&part][layer].view(), "unit", units, out)
    }

    fn read_tokens(&self, table: TokenTable, tokens: Range<usize>, out: &mut [f32]) -> Result<()> {
        let matrix = match table {
            TokenTable::Head => &self.head,
            TokenTable::Embed => self.embed.as_ref().unwrap_or(&self.head),
        };
        copy(matrix.view(), "token", tokens, out)
    }

    fn head_is_tied(&self) -> bool {
        self.embed.is_none()
    }

    fn input_gain(&self, layer: usize, part: Part) -> Result<Option<Vec<f32>>> {
        Ok(if part.reads() { self.gains.get(layer).cloned() } else { None })
    }

    fn head_norm(&self) -> Result<HeadNorm> {
        Ok(self.norm.clone())
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        let tokenizer = self.tokenizer.as_deref();
        tokenizer.ok_or_else(|| Error::setting("tokenizer", "absent", "names of the head's rows"))
    }
}

/// Copies rows of a matrix `[row, residual]`.
pub(super) fn copy(
    matrix: ArrayView2<'_, f32>,
    what: &str,
    rows: Range<usize>,
    out: &mut [f32],
) -> Result<()> {
    if rows.start > rows.end || rows.end > matrix.nrows() {
        let expected = format!("within 0..{}", matrix.nrows());
        return Err(Error::setting(what, format!("{rows:?}"), expected));
    }
    for (to, &from) in out.iter_mut().zip(matrix.slice(s![rows, ..])) {
        *to = from;
    }
    Ok(())
}

/// Names of a head's rows, each a token of its own.
#[derive(Clone, Debug)]
struct Labels(Vec<String>);

impl Tokenizer for Labels {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        let trimmed = text.trim();
        if let Some(id) = self.0.iter().position(|label| label == trimmed) {
            return Ok(vec![TokenSpan { id: id as u32, start: 0, end: text.len() }]);
        }
        let near = nissl_core::error::nearest(trimmed, self.0.iter().map(String::as_str));
        let expected = format!("a label such as {}", near.join(", "));
        Err(Error::setting("word", format!("`{trimmed}`"), expected))
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        let words: Vec<String> = tokens.iter().filter_map(|&id| self.token(id)).collect();
        Ok(words.join(" "))
    }

    fn token(&self, id: u32) -> Option<String> {
        self.0.get(id as usize).cloned()
    }

    fn size(&self) -> usize {
        self.0.len()
    }

    fn end(&self) -> Option<u32> {
        None
    }
}
