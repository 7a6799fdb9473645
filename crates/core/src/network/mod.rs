//! `Network`: anything with named sites that turns input into activity.

mod language;
mod sampling;
mod stream;
mod weights;

use burn::tensor::Device;

pub use language::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, TokenBatch, TokenSpan, Tokenizer,
};
pub use sampling::Sampling;
pub use stream::{Half, HeadShape, StreamForm, StreamNorm};
pub use weights::{HeadNorm, Part, ResidualWeights, TokenTable};

use crate::error::{Error, Result, nearest};
use crate::site::Site;

/// Anything with named sites.
pub trait Network: Send + Sync {
    /// A short name for messages and provenance: the folder or hub id it came from.
    fn id(&self) -> &str;

    /// Every site, in the order of computation.
    fn sites(&self) -> &[Site];

    /// How many units a site has; `None` where that depends on the input (attention patterns).
    fn width(&self, site: &Site) -> Option<usize>;

    /// Where its tensors live.
    fn device(&self) -> &Device;
}

/// # Errors
/// Names the nearest sites when `network` has no `site`.
pub fn require_site(network: &(impl Network + ?Sized), site: &Site) -> Result<()> {
    if network.sites().contains(site) {
        return Ok(());
    }
    let near = nearest(site.name(), network.sites().iter().map(Site::name));
    Err(Error::NoSuchSite {
        network: network.id().to_owned(),
        pattern: site.name().to_owned(),
        help: Some(format!(
            "the nearest sites are {}; is this the network of the features?",
            near.join(", ")
        )),
    })
}
