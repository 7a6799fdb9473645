//! Sheets on which people judge features, mixed so that they cannot know whose they are.
//!
//! A sheet is a CSV file with the columns `item`, `judgement` (`yes`, `maybe`, `no`, or empty) and
//! `words`; its key tells the `source` and the `feature` of each item.

use std::collections::BTreeMap;
use std::path::Path;

use nissl_core::features::Features;
use nissl_core::{Error, Result, seed};
use rand::seq::SliceRandom;
use serde::Serialize;

/// An item of a sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its number on the sheet, from 1.
    pub item: usize,
    /// Whose feature it is.
    pub source: String,
    /// The feature's number there.
    pub feature: usize,
}

/// How two sets of features are mixed.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// Live features drawn of each.
    pub count: usize,
    /// The density above which a feature is live.
    pub least_density: f32,
    /// The seed of draw and order.
    pub seed: u64,
}

impl Default for Mixed {
    fn default() -> Self {
        Self { count: 50, least_density: 1e-4, seed: 0 }
    }
}

/// Draws live features of each set and shuffles them.
///
/// # Errors
/// No count, one name for two sets, or a set with fewer live features than are to be drawn.
pub fn mix(sets: &[(&str, &Features)], settings: &Mixed) -> Result<Vec<Item>> {
    if settings.count == 0 {
        return Err(Error::setting("count", 0, "1 or more"));
    }
    let mut rng = seed::rng(settings.seed, 0);
    let mut items = Vec::new();
    for (place, (source, features)) in sets.iter().enumerate() {
        if sets[..place].iter().any(|(other, _)| other == source) {
            return Err(Error::setting("against", source, "other features than the first"));
        }
        let density = features.table().f32s("density")?;
        let mut live: Vec<usize> =
            (0..density.len()).filter(|&f| density[f] > settings.least_density).collect();
        if live.len() < settings.count {
            let expected = format!("at most {}, the live features of {source}", live.len());
            return Err(Error::setting("count", settings.count, expected));
        }
        live.shuffle(&mut rng);
        let drawn = live.into_iter().take(settings.count);
        items.extend(drawn.map(|feature| (source.to_string(), feature)));
    }
    items.shuffle(&mut rng);
    let numbered = (1..).zip(items);
    Ok(numbered.map(|(item, (source, feature))| Item { item, source, feature }).collect())
}

/// An empty sheet for these item numbers.
pub fn sheet_text(items: impl IntoIterator<Item = usize>) -> String {
    let rows = items.into_iter().map(|item| format!("{item},,\r\n"));
    std::iter::once("item,judgement,words\r\n".to_owned()).chain(rows).collect()
}

/// The key of a sheet.
pub fn key_text(items: &[Item]) -> String {
    let rows = items.iter().map(|Item { item, source, feature }| {
        format!("{item},\"{}\",{feature}\r\n", source.replace('"', "\"\""))
    });
    std::iter::once("item,source,feature\r\n".to_owned()).chain(rows).collect()
}

/// A judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// Interpretable.
    Yes,
    /// Perhaps.
    Maybe,
    /// Not interpretable.
    No,
    /// Not yet judged.
    Blank,
}

/// The judgements of the features of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Whose features.
    pub source: String,
    /// Judged interpretable.
    pub yes: usize,
    /// Judged perhaps.
    pub maybe: usize,
    /// Judged not interpretable.
    pub no: usize,
    /// Not judged.
    pub blank: usize,
}

/// The judgements of a filled sheet, `file` being its name in complaints.
///
/// # Errors
/// A missing column, a number that is none or stands twice, or another word than yes, maybe or no.
pub fn judged(text: &str, file: &Path) -> Result<BTreeMap<usize, Judged>> {
    let table = Csv::read(text, file)?;
    let (items, words) = (table.column("item")?, table.column("judgement")?);
    let mut found = BTreeMap::new();
    for row in &table.rows {
        let item = number(&row[items], "item", file)?;
        let judgement = match row[words].trim().to_lowercase().as_str() {
            "yes" | "y" => Judged::Yes,
            "maybe" | "m" => Judged::Maybe,
            "no" | "n" => Judged::No,
            "" => Judged::Blank,
            other => {
                let what = format!("`{other}` for item {item}");
                return Err(Error::file(file, "judgement", what, "yes, maybe, no, or nothing"));
            }
        };
        if found.insert(item, judgement).is_some() {
            return Err(Error::file(file, "item", format!("{item} twice"), "each item once"));
        }
    }
    Ok(found)
}

/// The judgements by source, with the sources as `key` tells them, `file` being its name.
///
/// # Errors
/// A missing column or a number that is none, a judged item that the key lacks.
pub fn tally(found: &BTreeMap<usize, Judged>, key: &str, file: &Path) -> Result<Vec<Tally>> {
    let table = Csv::read(key, file)?;
    let (items, sources) = (table.column("item")?, table.column("source")?);
    let mut known = BTreeMap::new();
    for row in &table.rows {
        known.insert(number(&row[items], "item", file)?, row[sources].clone());
    }
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for source in known.values() {
        let tally = tallies.entry(source).or_default();
        tally.source.clone_from(source);
    }
    if let Some(item) = found.keys().find(|item| !known.contains_key(item)) {
        return Err(Error::file(
            file,
            "item",
            format!("no item {item}"),
            "every item of the sheet",
        )
        .with_help("is this the key of that sheet?"));
    }
    for (item, source) in &known {
        let Some(tally) = tallies.get_mut(source.as_str()) else { continue };
        *match found.get(item).copied().unwrap_or(Judged::Blank) {
            Judged::Yes => &mut tally.yes,
            Judged::Maybe => &mut tally.maybe,
            Judged::No => &mut tally.no,
            Judged::Blank => &mut tally.blank,
        } += 1;
    }
    Ok(tallies.into_values().collect())
}

fn number(text: &str, field: &'static str, file: &Path) -> Result<usize> {
    text.trim()
        .parse()
        .map_err(|_not_a_number| Error::file(file, field, format!("`{text}`"), "a whole number"))
}

/// A CSV file by RFC 4180.
struct Csv<'a> {
    file: &'a Path,
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl<'a> Csv<'a> {
    fn read(text: &str, file: &'a Path) -> Result<Self> {
        // Spreadsheets put a mark before UTF-8, and some of them part fields with semicolons.
        let text = text.trim_start_matches('\u{feff}');
        let head = text.lines().next().unwrap_or_default();
        let separator = if head.contains(';') && !head.contains(',') { ';' } else { ',' };
        let mut rows = records(text, separator);
        if rows.is_empty() {
            return Err(Error::file(file, "content", "nothing", "a CSV file with a heading"));
        }
        let names: Vec<String> =
            rows.remove(0).into_iter().map(|name| name.trim().to_lowercase()).collect();
        rows.retain(|row| row.iter().any(|field| !field.trim().is_empty()));
        if let Some((line, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != names.len())
        {
            let found = format!("{} in row {}", row.len(), line + 2);
            return Err(Error::file(file, "fields", found, names.len().to_string()));
        }
        Ok(Self { file, names, rows })
    }

    fn column(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            let expected = format!("a column `{name}`");
            Error::file(self.file, "columns", self.names.join(", "), expected)
        })
    }
}

fn records(text: &str, separator: char) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' if quoted && rest.peek() == Some(&'"') => field.extend(rest.next()),
            '"' => quoted = !quoted,
            other if other == separator && !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        let item = |item, source: &str, feature| Item { item, source: source.to_owned(), feature };
        vec![item(1, "a, \"b\"", 7), item(2, "c", 3), item(3, "c", 9)]
    }

    #[test]
    fn what_was_judged_is_counted_for_its_source() {
        let sheet = "\u{feff}item,judgement,words\r\n1,Yes,\"a, \"\"quoted\"\"\r\nthought\"\r\n3,no,\r\n\r\n";
        let found = judged(sheet, Path::new("sheet.csv")).expect("reads");
        let tallies = tally(&found, &key_text(&items()), Path::new("key.csv")).expect("reads");
        let first = Tally { source: "a, \"b\"".to_owned(), yes: 1, ..Tally::default() };
        let second = Tally { source: "c".to_owned(), no: 1, blank: 1, ..Tally::default() };
        assert_eq!(tallies, [first, second]);
        let empty = judged(&sheet_text([1, 2, 3]), Path::new("sheet.csv")).expect("reads");
        assert!(empty.values().all(|judged| *judged == Judged::Blank) && empty.len() == 3);
        let german = judged("item;judgement;words\n2;maybe;x, y\n", Path::new("s")).expect("reads");
        assert_eq!(german.get(&2), Some(&Judged::Maybe));
    }

    #[test]
    fn sheets_that_are_none_are_refused_by_name() {
        let refused =
            |text: &str| judged(text, Path::new("sheet.csv")).expect_err("is refused").to_string();
        assert!(refused("").contains("sheet.csv"));
        assert!(refused("item,words\n1,a\n").contains("judgement"));
        assert!(refused("item,judgement\n1,perhaps\n").contains("perhaps"));
        assert!(refused("item,judgement\nx,yes\n").contains("`x`"));
        assert!(refused("item,judgement\n1,yes\n1,no\n").contains("twice"));
        assert!(refused("item,judgement\n1\n").contains("row 2"));
        let found = BTreeMap::from([(9, Judged::Yes)]);
        let error = tally(&found, &key_text(&items()), Path::new("key.csv"));
        assert!(error.expect_err("is refused").to_string().contains("no item 9"));
    }
}
