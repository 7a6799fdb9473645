//! Progress of long work, and its interruption.
//!
//! Stages tell how far they are and ask whether the user wants to stop; the caller decides what is
//! drawn. Libraries never print.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::error::{Error, Result};

/// Receives a line of plain progress.
type Line = Box<dyn Fn(&str) + Send + Sync>;

/// How far long work is, and whether it should stop. Clones share their state.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    view: View,
    interrupted: AtomicBool,
}

enum View {
    Silent,
    Bars(MultiProgress),
    Lines(Line),
}

/// Seconds between two plain lines of one stage.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Shows nothing.
    pub fn silent() -> Self {
        Self::with(View::Silent)
    }

    /// Draws one bar for each stage.
    pub fn bars(bars: MultiProgress) -> Self {
        Self::with(View::Bars(bars))
    }

    /// Hands a line to `line` every ten seconds of a stage and at its end.
    pub fn lines(line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::with(View::Lines(Box::new(line)))
    }

    fn with(view: View) -> Self {
        Self { shared: Arc::new(Shared { view, interrupted: AtomicBool::new(false) }) }
    }

    /// Asks the running work to stop at its next safe place.
    pub fn interrupt(&self) {
        self.shared.interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether the user wants to stop.
    pub fn interrupted(&self) -> bool {
        self.shared.interrupted.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`Error::Interrupted`] with what was `done`, when the user wants to stop.
    pub fn check(&self, done: impl FnOnce() -> String) -> Result<()> {
        if self.interrupted() { Err(Error::Interrupted { done: done() }) } else { Ok(()) }
    }

    /// Begins a stage of `total` units of work.
    pub fn stage(&self, name: &str, total: u64, unit: &'static str) -> Stage {
        let bar = if let View::Bars(bars) = &self.shared.view {
            let bar = bars.add(ProgressBar::new(total));
            let style = ProgressStyle::with_template(
                "{prefix:<12} {bar:24.magenta/white.dim} {human_pos}/{human_len} {wide_msg:.dim} {eta:>5}",
            );
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("━━╌"));
            }
            bar.set_prefix(name.to_owned());
            bar
        } else {
            ProgressBar::hidden()
        };
        let now = Instant::now();
        Stage {
            shared: Arc::clone(&self.shared),
            name: name.to_owned(),
            unit,
            total,
            bar,
            state: Mutex::new(State { done: 0, begun: now, told: now, notes: Vec::new() }),
        }
    }
}

/// One stage of long work; it ends when it is dropped.
pub struct Stage {
    shared: Arc<Shared>,
    name: String,
    unit: &'static str,
    total: u64,
    bar: ProgressBar,
    state: Mutex<State>,
}

struct State {
    done: u64,
    begun: Instant,
    told: Instant,
    notes: Vec<(String, f64)>,
}

impl Stage {
    /// `amount` more is done.
    pub fn advance(&self, amount: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        state.done += amount;
        self.bar.set_position(state.done);
        let rate = state.done as f64 / state.begun.elapsed().as_secs_f64().max(1e-9);
        let mut message = format!("{} {}/s", significant(rate), self.unit);
        for (key, value) in &state.notes {
            message = format!("{message} · {key} {}", significant(*value));
        }
        if let View::Lines(line) = &self.shared.view
            && state.told.elapsed() >= LINE_EVERY
        {
            state.told = Instant::now();
            line(&format!("{}: {}/{} {message}", self.name, state.done, self.total));
        }
        self.bar.set_message(message);
    }

    /// Shows a metric beside the bar, such as the loss.
    pub fn show(&self, key: &str, value: f64) {
        let Ok(mut state) = self.state.lock() else { return };
        match state.notes.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => state.notes.push((key.to_owned(), value)),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Three significant digits.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if (1000.0..1e15).contains(&magnitude) {
        format!("{value:.0}")
    } else if (1e-3..1000.0).contains(&magnitude) {
        let digits = (2 - magnitude.log10().floor() as i32).max(0) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_reaches_every_clone() {
        let progress = Progress::silent();
        let clone = progress.clone();
        assert!(clone.check(String::new).is_ok());
        progress.interrupt();
        assert!(matches!(
            clone.check(|| "3 shards".to_owned()),
            Err(Error::Interrupted { done }) if done == "3 shards"
        ));
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        let shown: Vec<_> =
            [0.0, 0.123_45, 12.345, 1234.5, 1e-5, 999.96].into_iter().map(significant).collect();
        assert_eq!(shown, ["0", "0.123", "12.3", "1234", "1.00e-5", "1000"]);
    }
}
