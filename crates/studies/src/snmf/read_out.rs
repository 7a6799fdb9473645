//! A network whose words are read out of planted features.
//!
//! Token `t` puts the activity of sample `t` at `layers.0.mlp.act`; the logit of word `w` is the
//! inner product of that activity with a row of unit length: planted feature `w` where there is one,
//! else a random direction. So feature `j` raises word `j`, and what else moves is known.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{Array2, ArrayView2};
use nissl_core::network::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, Network, Sampling, TokenBatch, Tokenizer,
};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};

/// Where the activity stands.
pub(super) const SITE: &str = "layers.0.mlp.act";

/// The network.
pub(super) struct ReadOut {
    sites: Vec<Site>,
    device: Device,
    /// `[token, unit]`.
    activity: Tensor<2>,
    /// `[unit, word]`.
    words: Tensor<2>,
}

fn tensor(values: ArrayView2<'_, f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = values.dim();
    Tensor::from_data(TensorData::new(values.iter().copied().collect(), [rows, columns]), device)
}

impl ReadOut {
    /// The network of `activity` `[sample, unit]` with the read-out `words` `[word, unit]`.
    pub(super) fn new(activity: ArrayView2<'_, f32>, words: &Array2<f32>) -> Self {
        let device = Device::flex();
        Self {
            sites: [SITE, "logits"].map(Site::new).to_vec(),
            activity: tensor(activity, &device),
            words: tensor(words.t(), &device),
            device,
        }
    }
}

impl Network for ReadOut {
    fn id(&self) -> &'static str {
        "read-out"
    }

    fn sites(&self) -> &[Site] {
        &self.sites
    }

    fn width(&self, site: &Site) -> Option<usize> {
        let [units, words] = self.words.dims();
        Some(if site.name() == SITE { units } else { words })
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl LanguageNetwork for ReadOut {
    fn forward(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>> {
        let ([tokens, units], [_, words]) = (self.activity.dims(), self.words.dims());
        batch.check_vocabulary(tokens)?;
        taps.begin(&self.sites);
        taps.set_position(0);
        let (sequences, positions) = (batch.batch(), batch.positions());
        let places: Tensor<1, Int> = batch.to_tensor(&self.device).flatten(0, 1);
        let activity = self.activity.clone().select(0, places);
        let activity = taps
            .visit(format_args!("{SITE}"), activity.reshape([sequences, positions, units]))
            .reshape([sequences * positions, units]);
        let logits = activity.matmul(self.words.clone()).reshape([sequences, positions, words]);
        Ok(Some(taps.visit(format_args!("logits"), logits)))
    }

    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        taps: &mut Taps<'_>,
    ) -> Result<Tensor<3>> {
        cache.positions += batch.positions();
        let logits = self.forward(batch, taps)?;
        logits.ok_or_else(|| Error::setting("taps", "without output", "taps that want logits"))
    }

    fn generate(
        &self,
        _prompt: &[u32],
        _sampling: &Sampling,
        _taps: &mut Taps<'_>,
    ) -> Result<Generated> {
        Err(Error::setting("network", self.id(), "one whose words can be read again"))
    }

    fn layers(&self) -> usize {
        1
    }

    fn residual_width(&self) -> usize {
        self.words.dims()[1]
    }

    fn vocabulary(&self) -> usize {
        self.words.dims()[1]
    }

    fn context(&self) -> usize {
        64
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        Err(Error::setting("tokenizer", "absent", "one; a planted network has none"))
    }

    fn down_projection(&self, _layer: usize) -> Result<Tensor<2>> {
        Ok(self.words.clone())
    }

    fn unembed(&self, directions: Tensor<2>, _norm: FinalNorm) -> Result<Tensor<2>> {
        Ok(directions)
    }
}
