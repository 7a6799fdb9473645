//! Runs sentences through a network and keeps each direction's extremes over their tokens.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};

use super::method::{Candidates, Ready};
use super::{Rows, Sentences, TokenSentence, difference};
use crate::direction::site_width;
use crate::likelihood::values;
use crate::strength::Sign;

/// The largest and smallest agreement over each sentence's tokens.
pub(super) struct Peaks {
    /// `[sentence, direction]`.
    high: Array2<f32>,
    low: Array2<f32>,
}

impl Peaks {
    fn new(directions: usize) -> Self {
        Self { high: Array2::zeros((0, directions)), low: Array2::zeros((0, directions)) }
    }

    pub(super) fn sentences(&self) -> usize {
        self.high.nrows()
    }

    pub(super) fn directions(&self) -> usize {
        self.high.ncols()
    }

    /// Whether the direction agrees with nothing at all, as one of length 0 does.
    pub(super) fn is_flat(&self, direction: usize) -> bool {
        let column = |matrix: &Array2<f32>| matrix.column(direction).iter().all(|&a| a == 0.0);
        column(&self.high) && column(&self.low)
    }

    /// `a` of every sentence `[sentence]` for one sign of a direction.
    pub(super) fn of(&self, direction: usize, sign: Sign) -> Vec<f32> {
        match sign {
            Sign::Plus => self.high.column(direction).to_vec(),
            Sign::Minus => self.low.column(direction).iter().map(|&low| -low).collect(),
        }
    }

    /// Adds a sentence from the agreement of its tokens `[token, direction]`.
    fn push(&mut self, tokens: ndarray::ArrayView2<'_, f32>) -> Result<()> {
        let high = tokens.fold_axis(Axis(0), f32::NEG_INFINITY, |&a, &b| a.max(b));
        let low = tokens.fold_axis(Axis(0), f32::INFINITY, |&a, &b| a.min(b));
        let grown = self.high.push_row(high.view()).and_then(|()| self.low.push_row(low.view()));
        grown.map_err(|error| Error::setting("agreement", error, "one number a direction"))
    }
}

/// What a run of sentences gives.
pub(super) struct Read {
    /// For each method.
    pub(super) peaks: Vec<Peaks>,
    /// For each site of means, the difference of means of unit length `[unit]`.
    pub(super) means: Vec<Array1<f32>>,
}

/// Reads the sites in use.
pub(super) struct Reader<'a> {
    network: &'a dyn LanguageNetwork,
    sites: Vec<Site>,
    widest: usize,
}

/// Values of activity or agreement held at once.
const VALUES_AT_ONCE: usize = 16 << 20;

impl<'a> Reader<'a> {
    /// # Errors
    /// A site that the network lacks, or a unit that a site lacks.
    pub(super) fn new(
        network: &'a dyn LanguageNetwork,
        methods: &[&Candidates],
        means: &[Site],
    ) -> Result<Self> {
        let mut sites: Vec<Site> = Vec::new();
        let mut widest = 1;
        for method in methods {
            widest = widest.max(method.directions.nrows());
            for part in &method.sites {
                let width = site_width(network, &part.site)?;
                let most = part.units.iter().max().map_or(0, |&unit| unit + 1);
                // Units from 0 without a gap are a whole site, so a narrower one is another network's.
                let whole = most == part.units.len();
                if most > width || (whole && most != width) {
                    return Err(Error::Units {
                        left: method.name.clone(),
                        found: most,
                        right: format!("site {} of {}", part.site, network.id()),
                        expected: width,
                        help: Some("is this the network that was recorded?".to_owned()),
                    });
                }
                widest = widest.max(width);
                if !sites.contains(&part.site) {
                    sites.push(part.site.clone());
                }
            }
        }
        for site in means {
            widest = widest.max(site_width(network, site)?);
            if !sites.contains(site) {
                sites.push(site.clone());
            }
        }
        Ok(Self { network, sites, widest })
    }

    /// Runs `sentences` once for all `methods`, whose directions are `ready`, and for the means at
    /// the sites `means`.
    ///
    /// # Errors
    /// A run that the network refuses.
    pub(super) fn peaks(
        &self,
        sentences: &Sentences<'_>,
        methods: &[&Candidates],
        ready: &[Ready],
        means: &[Site],
    ) -> Result<Read> {
        let mut peaks: Vec<Peaks> = ready.iter().map(|one| Peaks::new(one.directions())).collect();
        let mut sums: Vec<[Array1<f64>; 2]> = Vec::new();
        let mut tokens = [0.0; 2];
        let longest = sentences.all.iter().map(|one| one.tokens.len()).max().unwrap_or(1);
        let at_once = (VALUES_AT_ONCE / (longest * self.widest)).clamp(1, 64);
        for (batch, some) in sentences.all.chunks(at_once).enumerate() {
            let read = self.read(some)?;
            let side = |at: usize| usize::from(batch * at_once + at >= sentences.activating);
            for ((peaks, ready), method) in peaks.iter_mut().zip(ready).zip(methods) {
                let agreement = ready.compare(method.gather(&read)?);
                let mut start = 0;
                for sentence in some {
                    let end = start + sentence.counted.len();
                    peaks.push(agreement.slice(ndarray::s![start..end, ..]))?;
                    start = end;
                }
            }
            for (place, site) in means.iter().enumerate() {
                let Some(activity) = read.get(site.name()) else { continue };
                if sums.len() == place {
                    sums.push([Array1::zeros(activity.ncols()), Array1::zeros(activity.ncols())]);
                }
                let mut rows = activity.rows().into_iter();
                for (at, sentence) in some.iter().enumerate() {
                    for row in rows.by_ref().take(sentence.counted.len()) {
                        sums[place][side(at)].zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
                    }
                }
            }
            for (at, sentence) in some.iter().enumerate() {
                tokens[side(at)] += sentence.counted.len() as f64;
            }
        }
        let means = sums.iter().map(|sums| difference(sums, tokens)).collect();
        Ok(Read { peaks, means })
    }

    /// The activity `[token, unit]` of each site at the tokens that count.
    fn read(&self, sentences: &[&TokenSentence]) -> Result<BTreeMap<String, Rows>> {
        let sequences: Vec<&[u32]> =
            sentences.iter().map(|sentence| sentence.tokens.as_slice()).collect();
        let seen = RefCell::new(BTreeMap::new());
        let mut taps = Taps::none().without_output();
        for site in &self.sites {
            taps = taps.read(site.name().parse()?, |name, tensor| {
                seen.borrow_mut().insert(name.to_owned(), tensor.clone());
            });
        }
        self.network.forward(&TokenBatch::new(&sequences)?, &mut taps)?;
        drop(taps);
        let mut read = BTreeMap::new();
        for (name, tensor) in seen.into_inner() {
            let [_, positions, units] = tensor.dims();
            let all = values(tensor)?;
            let mut rows = Vec::new();
            for (number, sentence) in sentences.iter().enumerate() {
                let first = number * positions;
                let counted = first + sentence.counted.start..first + sentence.counted.end;
                rows.extend_from_slice(&all[counted.start * units..counted.end * units]);
            }
            let rows = Array2::from_shape_vec((rows.len() / units, units), rows)
                .map_err(|error| Error::setting("activity", error, "rows of all units"))?;
            if let Some(((row, unit), &found)) =
                rows.indexed_iter().find(|(_, value)| !value.is_finite())
            {
                return Err(Error::NotFinite { sample: row as u64, unit: unit as u64, found });
            }
            read.insert(name, rows);
        }
        Ok(read)
    }
}
