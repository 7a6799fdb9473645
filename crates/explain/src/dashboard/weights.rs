//! What the weights alone tell of a feature: the tokens it reads, and the features it is linked to.
//!
//! A feature that reads a norm's output by `w` reads the residual stream by `v = gain ⊙ w`, less its
//! mean where the norm takes the mean off, up to the norm's denominator. De-embedding: `W_E v`.
//! An earlier feature that writes `d` drives it by `d · v`, whatever the input.
//!
//! Left out: what passes through attention; sites that are neither the stream nor an MLP's input.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use nissl_core::features::Features;
use nissl_core::network::{Half, Part, ResidualWeights, TokenTable};
use nissl_core::{Error, Result, Site};
use serde::Serialize;

use super::{Dashboard, Dashboards};

/// A feature of another layer, and how strongly the two are linked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// The site that the other writes to or reads.
    pub site: String,
    /// Its number there.
    pub feature: usize,
    /// `d · v`, of either sign.
    pub weight: f32,
}

/// Tokens of the embedding read at once.
const TILE: usize = 1024;

/// Fills in de-embeddings and links.
pub(super) fn read(
    features: &Features,
    numbers: &[usize],
    weights: &dyn ResidualWeights,
    others: &[Features],
    settings: &Dashboards,
    dashboards: &mut [Dashboard],
) -> Result<()> {
    let own = reading(features, weights)?;
    if let Some((_, all)) = &own {
        let some = all.select(Axis(0), numbers);
        for (dashboard, tokens) in
            dashboards.iter_mut().zip(de_embed(weights, some.view(), settings)?)
        {
            dashboard.reads = tokens;
        }
    }
    let own_writes = writing(features, weights)?;
    for other in others {
        if let (Some((layer, read)), Some((earlier, written))) = (&own, writing(other, weights)?)
            && earlier < *layer
        {
            let products = read.select(Axis(0), numbers).dot(&written.t());
            let site = site_of(other.output_unit_table())?;
            for (dashboard, row) in dashboards.iter_mut().zip(products.rows()) {
                push(&mut dashboard.driven_by, &site, row.iter().copied());
            }
        }
        if let (Some((layer, written)), Some((later, read))) =
            (&own_writes, reading(other, weights)?)
            && later > *layer
        {
            let products = written.select(Axis(0), numbers).dot(&read.t());
            let site = site_of(other.unit_table())?;
            for (dashboard, row) in dashboards.iter_mut().zip(products.rows()) {
                push(&mut dashboard.drives, &site, row.iter().copied());
            }
        }
    }
    for dashboard in dashboards {
        for links in [&mut dashboard.driven_by, &mut dashboard.drives] {
            links.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
            links.truncate(settings.links);
        }
    }
    Ok(())
}

fn push(links: &mut Vec<Link>, site: &Site, weights: impl Iterator<Item = f32>) {
    let name = site.name();
    links.extend(weights.enumerate().map(|(feature, weight)| Link {
        site: name.to_owned(),
        feature,
        weight,
    }));
}

/// The one site of a table of units.
fn site_of(table: &nissl_core::Table) -> Result<Site> {
    let sites = table.texts("site")?;
    let first = sites.first().map_or("", String::as_str);
    match sites.iter().find(|site| *site != first) {
        None => Ok(Site::new(first)),
        Some(other) => {
            let found = format!("{first} and {other}");
            Err(Error::setting("site", found, "features of one site"))
        }
    }
}

/// The place in the stream at which the features of a site act, in half layers: a residual before
/// layer `l` is `2 l`, its MLP's input and the residual in its middle `2 l + 1`.
fn place(site: &Site) -> Option<usize> {
    match (site.layer(), site.part()) {
        (None, "embed") => Some(0),
        (Some(layer), "resid.pre") => Some(2 * layer),
        (Some(layer), "resid.mid" | "mlp.in" | "attn.out") => Some(2 * layer + 1),
        (Some(layer), "resid.post" | "mlp.out") => Some(2 * layer + 2),
        _ => None,
    }
}

/// Where the features read the stream, and the directions `[feature, residual]` by which they do.
fn reading(
    features: &Features,
    weights: &dyn ResidualWeights,
) -> Result<Option<(usize, Array2<f32>)>> {
    let site = site_of(features.unit_table())?;
    let reads = !matches!(site.part(), "mlp.out" | "attn.out");
    let Some(at) = place(&site).filter(|_| reads) else { return Ok(None) };
    let dictionary = features.dictionary();
    let mut directions = dictionary.encoder.clone().unwrap_or_else(|| dictionary.decoder.clone());
    fits(features, &site, directions.ncols(), weights)?;
    if let (Some(layer), "mlp.in") = (site.layer(), site.part()) {
        let width = weights.residual_width();
        let gain = match weights.norm_before(layer, Half::Mlp) {
            Ok(norm) => (norm.gain, norm.centres),
            // Weights of which only directions are known: the gain is all there is.
            Err(_) => (weights.input_gain(layer, Part::Up)?, false),
        };
        if let Some(gain) = gain.0 {
            directions *= &Array1::from(gain);
        }
        if gain.1 {
            for mut row in directions.rows_mut() {
                let mean = row.sum() / width as f32;
                row -= mean;
            }
        }
    }
    Ok(Some((at, directions)))
}

/// From where on the stream holds what the features write, and the directions `[feature, residual]`.
fn writing(
    features: &Features,
    weights: &dyn ResidualWeights,
) -> Result<Option<(usize, Array2<f32>)>> {
    let site = site_of(features.output_unit_table())?;
    let Some(at) = place(&site).filter(|_| site.part() != "mlp.in") else { return Ok(None) };
    let written = features.dictionary().written();
    fits(features, &site, written.ncols(), weights)?;
    // A layer that reads at the same place sees it: what is written counts as just before.
    Ok(Some((at.saturating_sub(1), written.to_owned())))
}

/// # Errors
/// Features of another width or of a layer that the network has not.
fn fits(
    features: &Features,
    site: &Site,
    units: usize,
    weights: &dyn ResidualWeights,
) -> Result<()> {
    let width = weights.residual_width();
    let layers = weights.layers();
    if units == width && site.layer().is_none_or(|layer| layer < layers) {
        return Ok(());
    }
    let found = format!("{units} of {site}");
    let expected = format!("{width} of one of {layers} layers, as {} has", weights.id());
    Err(Error::file(features.path(), "units", found, expected)
        .with_help("are these features of this network?"))
}

/// The tokens whose embedding each direction `[feature, residual]` reads most.
fn de_embed(
    weights: &dyn ResidualWeights,
    directions: ArrayView2<'_, f32>,
    settings: &Dashboards,
) -> Result<Vec<Vec<(String, f32)>>> {
    let (vocabulary, width) = (weights.vocabulary(), weights.residual_width());
    let scale = weights.embedding_scale().unwrap_or(1.0);
    let mut best: Vec<Vec<(u32, f32)>> = vec![Vec::new(); directions.nrows()];
    let mut tile = vec![0.0; TILE * width];
    for start in (0..vocabulary).step_by(TILE) {
        let end = (start + TILE).min(vocabulary);
        let rows = &mut tile[..(end - start) * width];
        weights.read_tokens(TokenTable::Embed, start..end, rows)?;
        let embedding = ArrayView2::from_shape((end - start, width), &*rows)
            .map_err(|error| Error::setting("embedding", error, "rows of the residual's width"))?;
        let products = directions.dot(&embedding.t());
        for (best, row) in best.iter_mut().zip(products.rows()) {
            best.extend((start as u32..).zip(row.iter().map(|&product| scale * product)));
            best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            best.truncate(settings.tokens);
        }
    }
    let tokenizer = weights.tokenizer().ok();
    let text = |id: u32| {
        tokenizer.and_then(|known| known.token(id)).unwrap_or_else(|| format!("token {id}"))
    };
    let told = |tokens: Vec<(u32, f32)>| {
        tokens.into_iter().map(|(id, product)| (text(id), product)).collect()
    };
    Ok(best.into_iter().map(told).collect())
}
