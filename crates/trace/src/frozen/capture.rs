//! The activity of one prompt at the sites that a circuit is made of.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ndarray::Array2;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, SiteGlob};

/// What the taps saw, by site.
pub(super) struct Activity(BTreeMap<String, (Vec<f32>, usize)>);

impl Activity {
    /// Runs the network once.
    pub(super) fn capture(network: &dyn LanguageNetwork, tokens: &[u32]) -> Result<Self> {
        let seen = RefCell::new(BTreeMap::new());
        let last = format!("layers.{}.resid.post", network.layers().saturating_sub(1));
        let parts =
            "resid.pre,resid.mid,attn.pattern,attn.v,attn.z,attn.out,mlp.in,mlp.act,mlp.out";
        let parts = parts.split(',').map(|part| format!("layers.*.{part}"));
        let wanted = parts.chain(["embed".to_owned(), "logits".to_owned(), last]);
        let mut taps = Taps::none();
        for pattern in wanted {
            let glob: SiteGlob = pattern.parse()?;
            let seen = &seen;
            taps = taps.read(glob, move |name, tensor| {
                let [_, _, units] = tensor.dims();
                seen.borrow_mut().insert(name.to_owned(), (tensor.clone(), units));
            });
        }
        network.forward(&TokenBatch::new(&[tokens])?, &mut taps)?;
        drop(taps);
        let mut activity = BTreeMap::new();
        for (name, (tensor, units)) in seen.into_inner() {
            let values: Vec<f32> =
                tensor.into_data().convert::<f32>().try_to_vec().map_err(|error| {
                    Error::setting(name.as_str(), format!("{error:?}"), "numbers")
                })?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let found = values[at];
                return Err(Error::setting(name, found, "finite activity on this prompt"));
            }
            activity.insert(name, (values, units));
        }
        Ok(Self(activity))
    }

    /// A site's activity `[position, unit]`, once.
    pub(super) fn take(&mut self, site: &str, units: usize) -> Result<Array2<f32>> {
        let Some((values, found)) = self.0.remove(site) else {
            return Err(Error::setting("site", site, "a site of the network, which circuits need"));
        };
        if found != units {
            return Err(Error::setting(site, format!("{found} units"), format!("{units}")));
        }
        Array2::from_shape_vec((values.len() / units.max(1), units), values)
            .map_err(|error| Error::setting(site, error, "whole rows"))
    }
}
