//! A tensor seen as one vector of the residual stream for each of its units, however it lies.

use std::ops::Range;

use nissl_core::{Error, Result};

use crate::edit::Signs;
use crate::files::{Files, Place};
use nissl_core::files::Stored;

/// A tensor by its name, and what its axes are.
pub(super) struct Spec {
    pub key: String,
    pub axes: Axes,
}

/// What the axes of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axes {
    /// `[unit, residual]`
    Rows,
    /// `[residual, unit]`
    Columns,
    /// `[residual, share · unit]`: the `index`th share `of` so many.
    ColumnShare { index: usize, of: usize },
    /// `[head · share · unit, residual]`: the `index`th share `of` so many in each head.
    HeadShare { heads: usize, index: usize, of: usize },
    /// `[head, residual, unit]`
    HeadColumns,
    /// `[head, unit, residual]`
    HeadRows,
}

/// Vectors at some stride in a tensor.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub place: Place,
    pub stored: Stored,
    /// How many vectors.
    pub units: usize,
    /// The width of the residual stream.
    pub width: usize,
    /// Multiplies each vector.
    pub gain: Option<Vec<f32>>,
    /// The number at which the first vector begins.
    origin: usize,
    /// Vectors of one group (a head's, or all), and the strides of groups and of vectors in a group.
    group: usize,
    strides: [usize; 2],
    /// The stride along a vector.
    along: usize,
}

/// Rows of the residual stream that are gathered at once, so that a vector's numbers are written in
/// runs that fill a cache line.
const RUN: usize = 16;

impl View {
    /// The view of a tensor; `width` is that of the residual stream where it is known.
    pub(super) fn of(files: &Files, spec: &Spec, width: Option<usize>) -> Result<Self> {
        let (place, stored) = stored(files, &spec.key)?;
        let wrong = |expected: &str| {
            let found = format!("of shape {:?}", stored.shape);
            Error::file(&files.path, &spec.key, found, expected)
        };
        let fits = |found: usize| width.is_none_or(|width| width == found);
        let (shape, steps) = (stored.shape.as_slice(), stored.strides.as_slice());
        // [first number, vectors, vectors of a group, stride of groups, of vectors, along a vector]
        let (numbers, residual) = match (spec.axes, shape) {
            (Axes::Rows, &[units, residual]) => {
                ([0, units, units, 0, steps[0], steps[1]], residual)
            }
            (Axes::Columns, &[residual, units]) => {
                ([0, units, units, 0, steps[1], steps[0]], residual)
            }
            (Axes::ColumnShare { index, of }, &[residual, all]) if all.is_multiple_of(of) => {
                let units = all / of;
                ([index * units * steps[1], units, units, 0, steps[1], steps[0]], residual)
            }
            (Axes::HeadShare { heads, index, of }, &[all, residual])
                if all.is_multiple_of(heads * of) =>
            {
                let group = all / (heads * of);
                let groups = of * group * steps[0];
                (
                    [index * group * steps[0], heads * group, group, groups, steps[0], steps[1]],
                    residual,
                )
            }
            (Axes::HeadColumns, &[heads, residual, group]) => {
                ([0, heads * group, group, steps[0], steps[2], steps[1]], residual)
            }
            (Axes::HeadRows, &[heads, group, residual]) => {
                ([0, heads * group, group, steps[0], steps[1], steps[2]], residual)
            }
            (axes, _) => return Err(wrong(axes.words())),
        };
        let [origin, units, group, groups, vectors, along] = numbers;
        if !fits(residual) {
            let width = width.unwrap_or_default();
            return Err(wrong(&format!("{}, with {width} along the residual", spec.axes.words())));
        }
        if units == 0 || residual == 0 {
            return Err(wrong("at least one vector"));
        }
        let strides = [groups, vectors];
        let stored = stored.clone();
        let width = residual;
        Ok(Self { place, stored, units, width, gain: None, origin, group, strides, along })
    }

    /// The place, counted in numbers from the tensor's first, of `unit`'s first number.
    fn starts(&self, unit: usize) -> usize {
        let [groups, vectors] = self.strides;
        self.origin + unit / self.group * groups + unit % self.group * vectors
    }

    /// Where the signs of a vector's numbers lie.
    pub(crate) fn signs(&self, unit: usize) -> Signs {
        let size = self.stored.element.size().unwrap_or(1);
        let first = self.stored.starts + (self.starts(unit) + 1) * size - 1;
        Signs { shard: self.place.shard, first, step: self.along * size, count: self.width }
    }

    /// Copies the vectors of a range to `out` `[unit, residual]`.
    pub(crate) fn read(
        &self,
        files: &Files,
        what: &str,
        range: Range<usize>,
        out: &mut [f32],
    ) -> Result<()> {
        if range.start > range.end || range.end > self.units {
            let found = format!("{} to {}", range.start, range.end);
            return Err(Error::setting(what, found, format!("a range inside 0 to {}", self.units)));
        }
        if out.len() != range.len() * self.width {
            let expected = format!("{} numbers", range.len() * self.width);
            return Err(Error::setting("out", out.len(), expected));
        }
        if self.along == 1 {
            let file = &files.shards[self.place.shard];
            for (unit, out) in range.zip(out.chunks_mut(self.width)) {
                file.run(&self.stored, self.starts(unit), out);
            }
        } else {
            self.gather(files, range, out);
        }
        if let Some(gain) = &self.gain {
            for out in out.chunks_mut(self.width) {
                out.iter_mut().zip(gain).for_each(|(out, gain)| *out *= gain);
            }
        }
        Ok(())
    }

    /// The same where the numbers of a vector do not lie side by side.
    fn gather(&self, files: &Files, range: Range<usize>, out: &mut [f32]) {
        let file = &files.shards[self.place.shard];
        let [_, vectors] = self.strides;
        let mut rows = vec![0.0; RUN * range.len()];
        let mut first = range.start;
        while first < range.end {
            // Vectors of one group, whose numbers may lie side by side.
            let last = range.end.min((first / self.group + 1) * self.group);
            let units = last - first;
            let out =
                &mut out[(first - range.start) * self.width..(last - range.start) * self.width];
            for from in (0..self.width).step_by(RUN) {
                let to = self.width.min(from + RUN);
                for (row, buffer) in (from..to).zip(rows.chunks_mut(units)) {
                    let starts = self.starts(first) + row * self.along;
                    if vectors == 1 {
                        file.run(&self.stored, starts, buffer);
                    } else {
                        for (unit, number) in buffer.iter_mut().enumerate() {
                            let at = starts + unit * vectors;
                            file.run(&self.stored, at, std::slice::from_mut(number));
                        }
                    }
                }
                for unit in 0..units {
                    for row in from..to {
                        out[unit * self.width + row] = rows[(row - from) * units + unit];
                    }
                }
            }
            first = last;
        }
    }
}

impl Axes {
    fn words(self) -> &'static str {
        match self {
            Self::Rows => "[unit, residual]",
            Self::Columns => "[residual, unit]",
            Self::ColumnShare { .. } => "[residual, three shares of units]",
            Self::HeadShare { .. } => "[three shares of each head's units, residual]",
            Self::HeadColumns => "[head, residual, unit]",
            Self::HeadRows => "[head, unit, residual]",
        }
    }
}

/// A vector `[size]`.
pub(super) fn vector(files: &Files, key: &str, size: usize) -> Result<Vec<f32>> {
    let (place, stored) = stored(files, key)?;
    if stored.shape != [size] {
        let found = format!("of shape {:?}", stored.shape);
        return Err(Error::file(&files.path, key, found, format!("[{size}]")));
    }
    Ok(files.shards[place.shard].all(stored).unwrap_or_default())
}

/// All numbers of a tensor, whatever its shape.
pub(super) fn flat(files: &Files, key: &str) -> Result<Vec<f32>> {
    let (place, stored) = stored(files, key)?;
    let all = files.shards[place.shard].all(stored);
    all.ok_or_else(|| Error::file(&files.path, key, "unreadable", "a tensor of floats"))
}

/// A tensor of floats.
fn stored<'a>(files: &'a Files, key: &str) -> Result<(Place, &'a Stored)> {
    let expected = "a tensor in F32, F16, BF16 or F64";
    let quantised = "quantised tensors are not read; take the checkpoint from which they were made";
    let (Some(place), Some((_, stored))) = (files.places.get(key), files.get(key)) else {
        // Quantised layers keep several tensors in the place of one.
        let stem = key.strip_suffix("weight").unwrap_or(key);
        let beside: Vec<String> = files
            .places
            .keys()
            .filter(|name| name.starts_with(stem) && !name.ends_with("bias"))
            .filter_map(|name| Some(format!("`{name}` of type {}", files.get(name)?.1.element)))
            .take(4)
            .collect();
        if !beside.is_empty() {
            let found = format!("absent; in its place are {}", beside.join(", "));
            return Err(Error::file(&files.path, key, found, expected).with_help(quantised));
        }
        let names: Vec<_> = files.places.keys().take(8).map(String::as_str).collect();
        return Err(Error::file(&files.path, key, "absent", expected).with_help(format!(
            "are config.json and the weights of the same network? The names begin with {}",
            names.join(", ")
        )));
    };
    if !stored.element.is_float() {
        let found = format!("of type {}", stored.element);
        return Err(Error::file(&files.path, key, found, expected).with_help(quantised));
    }
    Ok((place.clone(), stored))
}
