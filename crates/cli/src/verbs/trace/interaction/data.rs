//! The network that is cut, the data that run through it, and the answers it is judged by.

use std::path::Path;

use nissl_core::section::{Chain, Samples};
use nissl_core::{Error, Result};
use nissl_networks::sections::{Outputs, Transformer, is_transformer};

use crate::Context;
use crate::verbs::cut_network::Data;

/// A cut network, its samples, and the right outputs where the data tell them.
pub(crate) struct Opened<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) samples: &'a dyn Samples,
    /// The last node layer of the whole network: only there are answers.
    pub(crate) end: String,
    /// One for each sample and position at the end; `None`: the data tell none.
    pub(crate) answers: Option<Vec<u32>>,
}

/// Cuts the network at `node_layers`, or where none are given at its usual ones, and hands it on.
pub(super) fn open<T>(
    (data, path): (&Data, &Path),
    node_layers: &[String],
    context: &Context<'_>,
    follow: impl FnOnce(&Opened<'_>) -> Result<T>,
) -> Result<T> {
    let or = |usual: &[String]| if node_layers.is_empty() { usual } else { node_layers }.to_vec();
    if !is_transformer(path)? {
        let network = data.perceptron(path)?;
        let all = network.node_layers();
        let cut = network.cut(&or(&all))?;
        let samples = cut.samples(data.inputs(network.inputs())?);
        let end = all.last().cloned().unwrap_or_default();
        return follow(&Opened { chain: &cut.chain, samples: &samples, end, answers: None });
    }
    let network = Transformer::open(path)?;
    if let Some(modulus) = data.sums
        && network.vocabulary() != modulus as usize + 1
    {
        let tokens = network.vocabulary();
        let expected = format!(
            "{}: the network has {tokens} tokens, the numbers and the one that asks for the sum",
            tokens.saturating_sub(1)
        );
        return Err(Error::setting("sums", modulus, expected));
    }
    let (inputs, answers) = questions(data, context)?;
    let positions = inputs.first().map_or(0, Vec::len);
    let usual = network.usual_node_layers();
    let cut = network.cut(&or(&usual), positions, data.outputs())?;
    let samples = cut.samples(network.tokens(inputs)?);
    let end = usual.last().cloned().unwrap_or_default();
    follow(&Opened { chain: &cut.chain, samples: &samples, end, answers: Some(answers) })
}

/// Sequences, and the token that follows at each position that is judged.
fn questions(data: &Data, context: &Context<'_>) -> Result<(Vec<Vec<u32>>, Vec<u32>)> {
    let mut all = data.sequences(context)?;
    if let Some(modulus) = data.sums {
        let answers = all.iter().map(|sum| (sum[0] + sum[1]) % modulus).collect();
        return Ok((all, answers));
    }
    let mut answers = Vec::new();
    for (n, sequence) in all.iter_mut().enumerate() {
        let Some(next) = sequence.pop().filter(|_| !sequence.is_empty()) else {
            let found = format!("sequence {n} of fewer than 2 tokens");
            return Err(Error::setting("data", found, "2 tokens: the last one is the answer"));
        };
        if data.outputs() == Outputs::All {
            answers.extend_from_slice(&sequence[1..]);
        }
        answers.push(next);
    }
    Ok((all, answers))
}
