//! Sites: stable dotted names of the places in a network where activity arises.
//!
//! `embed`, `layers.6.resid.pre|mid|post`, `layers.6.attn.q|k|v|pattern|z|out`,
//! `layers.6.mlp.in|pre|act|out`, `final.norm`, `logits`. A glob selects many: `*` stands for any
//! run of characters within one segment, `**` for any number of segments, and `{a,b}` for a choice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, nearest};

/// The name of one place in a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Site(String);

impl Site {
    /// A site by its dotted name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The dotted name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The layer it belongs to, counted from 0; `None` for `embed`, `final.norm`, `logits`.
    pub fn layer(&self) -> Option<usize> {
        self.0.strip_prefix("layers.")?.split('.').next()?.parse().ok()
    }

    /// The name within its layer (`mlp.act`), or the whole name outside any layer.
    pub fn part(&self) -> &str {
        match self.layer() {
            Some(_) => self.0.splitn(3, '.').nth(2).unwrap_or(""),
            None => &self.0,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pattern over site names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteGlob {
    pattern: String,
    alternatives: Vec<Vec<String>>,
}

impl SiteGlob {
    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether `name` is selected.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<&str> = name.split('.').collect();
        self.alternatives.iter().any(|segments| matches_segments(segments, &name))
    }
}

impl FromStr for SiteGlob {
    type Err = Error;

    fn from_str(pattern: &str) -> Result<Self> {
        let valid = |c: char| c.is_ascii_alphanumeric() || ".*{},_-".contains(c);
        if pattern.is_empty() || !pattern.chars().all(valid) {
            return Err(Error::setting(
                "site",
                format!("`{pattern}`"),
                "a dotted name such as `layers.3.mlp.act`, with `*`, `**` or `{a,b}`",
            ));
        }
        let alternatives = expand(pattern)
            .into_iter()
            .map(|one| one.split('.').map(str::to_owned).collect())
            .collect();
        Ok(Self { pattern: pattern.to_owned(), alternatives })
    }
}

impl TryFrom<String> for SiteGlob {
    type Error = Error;

    fn try_from(pattern: String) -> Result<Self> {
        pattern.parse()
    }
}

impl From<SiteGlob> for String {
    fn from(glob: SiteGlob) -> Self {
        glob.pattern
    }
}

/// The sites among `sites` that any of `globs` selects, in the order of `sites`.
///
/// # Errors
/// Names the first glob that selects nothing, with the nearest names as a hint.
pub fn select<'a>(network: &str, sites: &'a [Site], globs: &[SiteGlob]) -> Result<Vec<&'a Site>> {
    for glob in globs {
        if !sites.iter().any(|site| glob.matches(site.name())) {
            let near = nearest(glob.pattern(), sites.iter().map(Site::name));
            return Err(Error::NoSuchSite {
                network: network.to_owned(),
                pattern: glob.pattern().to_owned(),
                help: Some(format!("the nearest sites are {}", near.join(", "))),
            });
        }
    }
    Ok(sites.iter().filter(|site| globs.iter().any(|glob| glob.matches(site.name()))).collect())
}

/// `a.{b,c}` to `a.b` and `a.c`; an unbalanced brace stays as it is and so matches nothing.
fn expand(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_owned()] };
    let Some(close) = pattern[open..].find('}').map(|at| at + open) else {
        return vec![pattern.to_owned()];
    };
    pattern[open + 1..close]
        .split(',')
        .flat_map(|choice| {
            expand(&pattern[close + 1..])
                .into_iter()
                .map(move |tail| format!("{}{choice}{tail}", &pattern[..open]))
        })
        .collect()
}

fn matches_segments(pattern: &[String], name: &[&str]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=name.len()).any(|skip| matches_segments(rest, &name[skip..]))
        }
        Some((first, rest)) => name.split_first().is_some_and(|(head, tail)| {
            matches_text(first.as_bytes(), head.as_bytes()) && matches_segments(rest, tail)
        }),
    }
}

fn matches_text(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| matches_text(rest, &text[skip..])),
        Some((c, rest)) => {
            text.split_first().is_some_and(|(t, tail)| t == c && matches_text(rest, tail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> SiteGlob {
        pattern.parse().expect("a valid pattern")
    }

    #[test]
    fn a_star_stays_within_its_segment() {
        assert!(glob("layers.*.mlp.act").matches("layers.11.mlp.act"));
        assert!(!glob("layers.*.act").matches("layers.11.mlp.act"));
        assert!(glob("layers.**.act").matches("layers.11.mlp.act"));
        assert!(glob("layers.1*.mlp.act").matches("layers.11.mlp.act"));
        assert!(!glob("layers.1*.mlp.act").matches("layers.2.mlp.act"));
        assert!(glob("layers.{2,3}.attn.{q,k}").matches("layers.3.attn.k"));
        assert!(!glob("layers.{2,3}.attn.{q,k}").matches("layers.3.attn.v"));
    }

    #[test]
    fn a_site_knows_its_layer_and_part() {
        assert_eq!(Site::new("layers.12.resid.post").layer(), Some(12));
        assert_eq!(Site::new("layers.12.resid.post").part(), "resid.post");
        assert_eq!(Site::new("final.norm").layer(), None);
        assert_eq!(Site::new("final.norm").part(), "final.norm");
    }

    #[test]
    fn a_glob_that_selects_nothing_names_what_is_near() {
        let sites = [Site::new("layers.0.mlp.act"), Site::new("logits")];
        let error = select("tiny", &sites, &[glob("layers.0.mlp.akt")]).expect_err("no match");
        let Error::NoSuchSite { help: Some(help), .. } = error else { panic!("{error}") };
        assert!(help.contains("layers.0.mlp.act"), "{help}");
    }

    #[test]
    fn strange_characters_are_refused() {
        assert!("layers/0".parse::<SiteGlob>().is_err());
        assert!("".parse::<SiteGlob>().is_err());
    }
}
