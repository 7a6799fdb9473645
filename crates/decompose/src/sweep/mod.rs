//! One method at several settings and sites, side by side: `OUT/<site>/k-50/` and `OUT/sweep.parquet`.
//!
//! Settings are judged by the variance that they explain in held-out samples and, with several
//! seeds, by stability: the mean signed cosine of features matched one to one (Hungarian) between
//! the dictionaries of every two seeds, fitted to the same samples.
//!
//! Memory: the activity of one site at a time, as its method holds it, and a dictionary a seed.

mod choice;
mod table;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use ndarray::Array2;
use nissl_core::error::nearest;
use nissl_core::features::Features;
use nissl_core::split::held_out;
use nissl_core::stats::matching::{Sign, match_rows};
use nissl_core::store::Existing;
use nissl_core::{Error, Progress, Recording, Result, Site, SiteGlob};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use choice::Choose;
use table::Sheet;

use crate::Method;
use crate::pipeline::{Options, decompose};

/// What is varied, and how the settings are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// The setting that is varied; none runs the method as it is.
    pub varied: Option<Varied>,
    /// Seeds that are compared for stability, at least 1; 1 measures none.
    pub seeds: usize,
    /// How a setting is chosen for each site.
    pub choose: Choose,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { varied: None, seeds: 1, choose: Choose::HeldOut }
    }
}

/// A setting of a method and the values it takes in turn; written `k=50,100,200`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Varied {
    /// The setting's name in files: that of its flag, with `_` for `-`.
    pub field: String,
    /// Its values, in order.
    pub values: Vec<Value>,
}

impl FromStr for Varied {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::setting("sweep", text, "a setting and its values, such as k=50,100");
        let (field, values) = text.split_once('=').ok_or_else(wrong)?;
        let values: Vec<Value> = values
            .split(',')
            .map(|value| {
                let value = value.trim();
                serde_json::from_str(value).unwrap_or_else(|_text| Value::String(value.to_owned()))
            })
            .collect();
        if values.iter().any(|value| value.as_str() == Some("")) {
            return Err(wrong());
        }
        Ok(Self { field: field.trim().replace('-', "_"), values })
    }
}

impl fmt::Display for Varied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(told).collect();
        write!(f, "{}={}", self.field, values.join(","))
    }
}

/// A value as people write it.
fn told(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What one setting at one site gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// The site; empty where all units were decomposed together.
    pub site: String,
    /// The value of the varied setting; empty where none was varied.
    pub value: String,
    /// The folder of its features, within that of the sweep; empty for the folder itself.
    pub folder: String,
    /// The number of features.
    pub features: usize,
    /// The explained variance of held-out samples, where it is defined.
    pub held_out: Option<f64>,
    /// The explained variance of the samples it was fitted to, where it is defined.
    pub fit: Option<f64>,
    /// Features that are never active.
    pub dead: usize,
    /// The lowest loss of the fit, of methods that iterate.
    pub loss: Option<f64>,
    /// The mean signed cosine of matched features of every two seeds, where there are several.
    pub stability: Option<f64>,
    /// How long it took.
    pub seconds: f64,
    /// Whether it is the setting chosen for its site.
    pub chosen: bool,
    /// Why it was chosen; empty for the others.
    pub reason: String,
}

/// Decomposes `recording`, or each of `sites` by itself, at every value of the varied setting, and
/// writes features and the table of outcomes below `out`.
///
/// With [`Existing::Resume`] settings that were finished are not fitted again.
///
/// # Errors
/// A setting the method has not, a value outside its range, a choice that nothing was measured for,
/// an output folder that is there, an interruption, or what keeps a method from being fitted.
pub fn sweep(
    method: &Method,
    recording: &Recording,
    sites: &[Site],
    out: &Path,
    sweep: &Sweep,
    options: &Options,
    progress: &Progress,
) -> Result<Vec<Outcome>> {
    let settings = settings(method, sweep)?;
    sweep.choose.validate(sweep.seeds, options.held_out)?;
    let mut sheet = Sheet::begin(method, recording, sites, out, sweep, options)?;
    let resumed = options.existing == Existing::Resume;
    let existing = if resumed { Existing::Resume } else { Existing::Refuse };
    let options = Options { existing, ..options.clone() };
    let places: Vec<Option<&Site>> =
        if sites.is_empty() { vec![None] } else { sites.iter().map(Some).collect() };
    let stage = progress.stage("sweep", (places.len() * settings.len()) as u64, "settings");
    for site in places {
        let name = site.map(Site::name).unwrap_or_default();
        let limited = match site {
            None => None,
            Some(site) => Some(recording.only(&site.name().parse::<SiteGlob>()?)?),
        };
        let recording = limited.as_ref().unwrap_or(recording);
        for (value, method) in &settings {
            progress.check(|| format!("{} settings, kept", sheet.outcomes().len()))?;
            if !sheet.has(name, value) {
                let folder = folder(name, sweep.varied.as_ref(), value);
                let outcome =
                    one(method, recording, &out.join(&folder), sweep, &options, progress)?;
                let (site, value) = (name.to_owned(), value.clone());
                sheet.push(Outcome { site, value, folder, ..outcome })?;
            }
            stage.advance(1);
        }
    }
    sheet.finish(sweep.choose)
}

/// Every value with its method.
fn settings(method: &Method, sweep: &Sweep) -> Result<Vec<(String, Method)>> {
    if sweep.seeds == 0 {
        return Err(Error::setting("seeds", 0, "at least 1"));
    }
    let Some(varied) = &sweep.varied else { return Ok(vec![(String::new(), method.clone())]) };
    let mut settings: Vec<(String, Method)> = Vec::new();
    for value in &varied.values {
        let told = told(value);
        if settings.iter().any(|(other, _)| *other == told) {
            return Err(Error::setting("sweep", varied, "each value once"));
        }
        settings.push((told, with(method, &varied.field, value)?));
    }
    Ok(settings)
}

/// The same method with one setting changed, which is checked.
fn with(method: &Method, field: &str, value: &Value) -> Result<Method> {
    let name = method.method().name();
    let mut settings = serde_json::to_value(method)
        .map_err(|error| Error::setting("method", error, "settings that JSON can hold"))?;
    let fields = settings.as_object_mut();
    let names: Vec<String> = fields
        .iter()
        .flat_map(|fields| fields.keys())
        .filter(|field| !matches!(field.as_str(), "method" | "seed"))
        .cloned()
        .collect();
    if !names.iter().any(|known| known == field) {
        let near = nearest(field, names.iter().map(String::as_str));
        let expected = if near.is_empty() {
            format!("nothing: `{name}` has no settings")
        } else {
            format!("a setting of `{name}` such as {}", near.join(", "))
        };
        return Err(Error::setting("sweep", field, expected));
    }
    if let Some(fields) = fields {
        fields.insert(field.to_owned(), value.clone());
    }
    let changed: Method = serde_json::from_value(settings).map_err(|error| {
        Error::setting(field, told(value), format!("a value of that setting of `{name}`: {error}"))
    })?;
    changed.method().validate()?;
    Ok(changed)
}

/// The folder of a setting within that of the sweep.
fn folder(site: &str, varied: Option<&Varied>, value: &str) -> String {
    let plain = |text: &str| -> String {
        let keep = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '%' | '+');
        text.chars().map(|c| if keep(c) { c } else { '_' }).collect()
    };
    let setting = varied.map(|varied| format!("{}-{}", varied.field, plain(value)));
    let site = (!site.is_empty()).then(|| plain(site));
    let parts: Vec<String> = site.into_iter().chain(setting).collect();
    if parts.is_empty() { "features".to_owned() } else { parts.join("/") }
}

/// One setting at one site.
fn one(
    method: &Method,
    recording: &Recording,
    folder: &Path,
    sweep: &Sweep,
    options: &Options,
    progress: &Progress,
) -> Result<Outcome> {
    let begun = Instant::now();
    let features = match decompose(method, recording, folder, options, progress) {
        // It was finished just before the run was cut off.
        Err(Error::Exists { .. }) if options.existing == Existing::Resume => {
            Features::open(folder)?
        }
        other => other?,
    };
    let stability = if sweep.seeds > 1 {
        let rows = held_out(&recording.sequences()?, options.held_out, options.seed).fit;
        let mut found = vec![features.dictionary().decoder.clone()];
        for seed in 1..sweep.seeds as u64 {
            let method = method.clone().seeded(options.seed.wrapping_add(seed));
            found.push(method.method().fit(recording, &rows, progress)?.decoder);
        }
        Some(stability(&found))
    } else {
        None
    };
    let explained = features.explained_variance();
    let dead = features.table().bools("dead")?.iter().filter(|&&dead| dead).count();
    let restarts = features.manifest().detail.restarts.iter().copied();
    let curve = features.dictionary().loss.iter().map(|&loss| f64::from(loss));
    let loss = restarts.reduce(f64::min).or_else(|| curve.reduce(f64::min));
    Ok(Outcome {
        features: features.features(),
        held_out: explained.held_out,
        fit: explained.fit,
        dead,
        loss,
        stability,
        seconds: begun.elapsed().as_secs_f64(),
        ..Outcome::default()
    })
}

/// The mean signed cosine of features matched one to one, over every two of several dictionaries
/// `[feature, unit]`; 1 for dictionaries that are the same but for order, NaN for fewer than two.
pub fn stability(dictionaries: &[Array2<f32>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for (at, one) in dictionaries.iter().enumerate() {
        for other in &dictionaries[at + 1..] {
            for pair in match_rows(one.view(), other.view(), Sign::Signed) {
                sum += pair.score;
                count += 1;
            }
        }
    }
    sum / count as f64
}
