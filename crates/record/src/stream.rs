//! Shuffled activity of a network that runs meanwhile, for training without a recording on disk.
//!
//! Texts are read in windows, the network runs them batch after batch, and the samples go into a
//! buffer; when half of it has been given away it is filled up and mixed anew. After the last text the
//! first follows again, for as many rounds as were asked for. The same settings and seed give the same
//! samples in the same order, and so does a stream that was moved on by `skip`: it reads the texts that
//! it passes over, but runs the network only for samples that are still to come.
//! Memory: `buffer` samples of input and target, one batch of activity; while skipping, the tokens of
//! the batches that still have samples in the buffer.

use std::collections::BTreeMap;

use clap::Args;
use nissl_core::network::{LanguageNetwork, require_site};
use nissl_core::recording::ActivityStream;
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Result, Site, SiteGlob};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::network::{SiteActivity, run};
use crate::text::DocumentStream;
use crate::windows::{Window, Windows};

/// How a network is run for its activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct StreamNetwork {
    /// Tokens the network sees at once; 0 is as many as it can, at most 128 [default: 0]
    #[arg(long, value_name = "TOKENS", default_value_t = 0, hide_default_value = true)]
    pub context: usize,
    /// Windows computed together, 1 or more
    #[arg(long, value_name = "WINDOWS", default_value_t = StreamNetwork::default().windows)]
    pub windows: usize,
    /// Samples that are mixed at once, 2 or more
    #[arg(long, value_name = "SAMPLES", default_value_t = StreamNetwork::default().buffer)]
    pub buffer: usize,
    /// Positions left out at the beginning of each window, where activity can be huge
    #[arg(long, value_name = "POSITIONS", default_value_t = StreamNetwork::default().leave_out)]
    pub leave_out: usize,
    /// How many times the texts are read; 0 is as often as training goes on
    #[arg(long, default_value_t = StreamNetwork::default().rounds)]
    pub rounds: usize,
    /// Seed of the order
    #[arg(skip)]
    pub seed: u64,
}

impl Default for StreamNetwork {
    fn default() -> Self {
        Self { context: 0, windows: 16, buffer: 65_536, leave_out: 0, rounds: 0, seed: 0 }
    }
}

impl StreamNetwork {
    /// # Errors
    /// A setting outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.windows == 0 {
            return Err(Error::setting("windows", 0, "1 or more"));
        }
        if !(2..=u32::MAX as usize).contains(&self.buffer) {
            return Err(Error::setting("buffer", self.buffer, "2 to 4294967295 samples"));
        }
        Ok(())
    }
}

/// Opens the texts anew for each round.
pub type Texts<'a> = dyn Fn() -> Result<DocumentStream> + 'a;

/// The widest window where none is asked for, that of the transcoder paper.
const CONTEXT: usize = 128;

/// A network that runs over texts and gives its activity away, mixed.
pub struct NetworkStream<'a> {
    network: &'a dyn LanguageNetwork,
    globs: Vec<SiteGlob>,
    sites: Vec<String>,
    widths: Vec<usize>,
    settings: StreamNetwork,
    cutting: Windows,
    texts: &'a Texts<'a>,
    progress: &'a Progress,
    documents: Option<DocumentStream>,
    pending: std::collections::VecDeque<Window>,
    round: usize,
    sequence: u32,
    found: bool,
    mixed: u64,
    /// Samples in the buffer, in the reverse order in which they are given away.
    order: Vec<u32>,
    /// Rows of the buffer that are free.
    free: Vec<u32>,
    /// `[row, unit of input and target]`.
    values: Vec<f32>,
    /// While skipping: where the sample of each row comes from.
    origin: Vec<(u64, u32)>,
    /// While skipping: the batches that still have samples in the buffer.
    batches: BTreeMap<u64, Vec<Window>>,
    batch: u64,
    skipping: bool,
}

impl<'a> NetworkStream<'a> {
    /// A stream of the activity at `input`, and at `target` where that is another site.
    ///
    /// # Errors
    /// A setting outside its range, or a site that the network lacks or whose width depends on the
    /// input.
    pub fn new(
        network: &'a dyn LanguageNetwork,
        (input, target): (&Site, Option<&Site>),
        texts: &'a Texts<'a>,
        settings: &StreamNetwork,
        progress: &'a Progress,
    ) -> Result<Self> {
        settings.validate()?;
        let limit = network.context();
        if settings.context > limit {
            let expected = format!("at most {limit}, the context of {}", network.id());
            return Err(Error::setting("context", settings.context, expected));
        }
        let context = if settings.context == 0 { limit.min(CONTEXT) } else { settings.context };
        let mut sites: Vec<String> = Vec::new();
        let mut widths = Vec::new();
        for site in [Some(input), target].into_iter().flatten() {
            require_site(network, site)?;
            let width = network.width(site).ok_or_else(|| {
                let expected = "a site whose number of units does not depend on the text";
                Error::setting("site", site, expected)
            })?;
            sites.push(site.name().to_owned());
            widths.push(width);
        }
        if target == Some(input) {
            return Err(Error::setting("target", input, "another site than the input"));
        }
        let globs = sites.iter().map(|site| site.parse()).collect::<Result<_>>()?;
        Ok(Self {
            network,
            globs,
            sites,
            widths,
            settings: settings.clone(),
            cutting: Windows { context, stride: context, keep_special: false },
            texts,
            progress,
            documents: None,
            pending: std::collections::VecDeque::new(),
            round: 0,
            sequence: 0,
            found: false,
            mixed: 0,
            order: Vec::new(),
            free: Vec::new(),
            values: Vec::new(),
            origin: Vec::new(),
            batches: BTreeMap::new(),
            batch: 0,
            skipping: false,
        })
    }

    fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// The next windows with a token to give; fewer than a batch only at the very end.
    fn windows(&mut self) -> Result<Vec<Window>> {
        let mut batch = Vec::with_capacity(self.settings.windows);
        while batch.len() < self.settings.windows {
            if let Some(mut window) = self.pending.pop_front() {
                let left_out = self.settings.leave_out;
                window.rows.retain(|&row| row >= left_out);
                if !window.rows.is_empty() {
                    self.found = true;
                    batch.push(window);
                }
                continue;
            }
            if self.documents.is_none() {
                let rounds = self.settings.rounds;
                if (rounds > 0 && self.round == rounds) || (self.round > 0 && !self.found) {
                    break;
                }
                self.documents = Some((self.texts)()?);
                self.round += 1;
            }
            match self.documents.as_mut().and_then(Iterator::next) {
                None => self.documents = None,
                Some(document) => {
                    let tokenizer = self.network.tokenizer()?;
                    let windows = self.cutting.cut(tokenizer, self.sequence, &document?)?;
                    self.sequence = self.sequence.wrapping_add(1);
                    self.pending.extend(windows);
                }
            }
        }
        Ok(batch)
    }

    /// Fills the buffer up and mixes it, when half of it has been given away.
    fn refill(&mut self) -> Result<()> {
        if 2 * self.order.len() > self.settings.buffer {
            return Ok(());
        }
        let mut grown = false;
        while self.order.len() < self.settings.buffer {
            self.progress.check(|| format!("{} batches of texts read", self.batch))?;
            let windows = self.windows()?;
            if windows.is_empty() {
                break;
            }
            grown = true;
            let samples: usize = windows.iter().map(|window| window.rows.len()).sum();
            let rows: Vec<u32> = (0..samples).map(|_| self.row()).collect();
            if self.skipping {
                for (place, &row) in rows.iter().enumerate() {
                    self.origin[row as usize] = (self.batch, place as u32);
                }
                self.batches.insert(self.batch, windows);
            } else {
                let activity = run(self.network, &windows, &self.sites, &self.globs)?;
                let width = self.width();
                let mut places = rows.iter();
                for sample in samples_of(&windows, &activity) {
                    let Some(&row) = places.next() else { break };
                    let begin = row as usize * width;
                    put(&mut self.values[begin..begin + width], &sample)?;
                }
            }
            self.order.extend(rows);
            self.batch += 1;
        }
        if !self.found {
            let what = "the texts".to_owned();
            return Err(Error::Empty { what, expected: "at least one token".to_owned() });
        }
        if grown {
            self.order.shuffle(&mut rng(self.settings.seed, self.mixed));
            self.mixed += 1;
        }
        if self.skipping {
            let needed: std::collections::BTreeSet<u64> =
                self.order.iter().map(|&row| self.origin[row as usize].0).collect();
            self.batches.retain(|batch, _| needed.contains(batch));
        }
        Ok(())
    }

    /// A free row of the buffer.
    fn row(&mut self) -> u32 {
        if let Some(row) = self.free.pop() {
            return row;
        }
        let row = self.origin.len() as u32;
        self.origin.push((0, 0));
        self.values.resize(self.origin.len() * self.width(), 0.0);
        row
    }

    /// Runs the network for the samples that skipping left in the buffer.
    fn fill(&mut self) -> Result<()> {
        let mut wanted: BTreeMap<u64, Vec<(u32, u32)>> = BTreeMap::new();
        for &row in &self.order {
            let (batch, place) = self.origin[row as usize];
            wanted.entry(batch).or_default().push((place, row));
        }
        let width = self.width();
        for (batch, windows) in std::mem::take(&mut self.batches) {
            let Some(wanted) = wanted.get(&batch) else { continue };
            self.progress.check(|| "catching up with the interrupted run".to_owned())?;
            let activity = run(self.network, &windows, &self.sites, &self.globs)?;
            let samples: Vec<Vec<&[f32]>> = samples_of(&windows, &activity).collect();
            for &(place, row) in wanted {
                let begin = row as usize * width;
                put(&mut self.values[begin..begin + width], &samples[place as usize])?;
            }
        }
        Ok(())
    }
}

/// The activity of each recorded token, one slice a site.
fn samples_of<'b>(
    windows: &'b [Window],
    activity: &'b [SiteActivity],
) -> impl Iterator<Item = Vec<&'b [f32]>> {
    windows.iter().enumerate().flat_map(move |(number, window)| {
        let of =
            move |row: usize| activity.iter().map(|site| site.row(number, row)).collect::<Vec<_>>();
        window.rows.iter().map(move |&row| of(row))
    })
}

/// Copies a sample, site after site.
fn put(out: &mut [f32], sample: &[&[f32]]) -> Result<()> {
    let mut unit = 0;
    for part in sample {
        if let Some(at) = part.iter().position(|value| !value.is_finite()) {
            let help = "look at the network's input: its activity is not finite".to_owned();
            return Err(Error::Diverged {
                what: format!("the activity of unit {}", unit + at),
                found: f64::from(part[at]),
                step: 0,
                help: Some(help),
            });
        }
        out[unit..unit + part.len()].copy_from_slice(part);
        unit += part.len();
    }
    Ok(())
}

impl ActivityStream for NetworkStream<'_> {
    fn units(&self) -> usize {
        self.widths[0]
    }

    fn target_units(&self) -> Option<usize> {
        self.widths.get(1).copied()
    }

    fn next(&mut self, rows: usize, input: &mut Vec<f32>, target: &mut Vec<f32>) -> Result<usize> {
        if self.skipping {
            self.fill()?;
            self.skipping = false;
        }
        input.clear();
        target.clear();
        let (units, width) = (self.widths[0], self.width());
        for given in 0..rows {
            self.refill()?;
            let Some(row) = self.order.pop() else { return Ok(given) };
            let begin = row as usize * width;
            input.extend_from_slice(&self.values[begin..begin + units]);
            target.extend_from_slice(&self.values[begin + units..begin + width]);
            self.free.push(row);
        }
        Ok(rows)
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        if !self.skipping && !self.order.is_empty() {
            return Err(Error::setting("skip", rows, "a stream that has not begun"));
        }
        self.skipping = true;
        for _ in 0..rows {
            self.refill()?;
            let Some(row) = self.order.pop() else { return Ok(()) };
            self.free.push(row);
        }
        Ok(())
    }
}
