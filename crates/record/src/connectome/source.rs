//! The published connectomes by name: what they count, and the paper to cite.

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A published connectome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[non_exhaustive]
pub enum Source {
    /// By the name and the content of the file
    #[default]
    #[value(name = "auto")]
    #[serde(rename = "auto")]
    Auto,
    /// White 1986, the whole hermaphrodite
    #[value(name = "white_1986_whole")]
    #[serde(rename = "white_1986_whole")]
    White1986Whole,
    /// White 1986, the adult N2U
    #[value(name = "white_1986_n2u")]
    #[serde(rename = "white_1986_n2u")]
    White1986N2u,
    /// White 1986, the larva JSH
    #[value(name = "white_1986_jsh")]
    #[serde(rename = "white_1986_jsh")]
    White1986Jsh,
    /// White 1986, the tail of the adult JSE
    #[value(name = "white_1986_jse")]
    #[serde(rename = "white_1986_jse")]
    White1986Jse,
    /// Witvliet 2021, the first adult brain
    #[value(name = "witvliet_7")]
    #[serde(rename = "witvliet_7")]
    Witvliet7,
    /// Witvliet 2021, the second adult brain
    #[value(name = "witvliet_8")]
    #[serde(rename = "witvliet_8")]
    Witvliet8,
    /// Chen, Hall, Chklovskii 2006 and Varshney 2011
    #[value(name = "chklovskii")]
    #[serde(rename = "chklovskii")]
    Chklovskii,
    /// The tables of OpenWorm
    #[value(name = "openworm")]
    #[serde(rename = "openworm")]
    Openworm,
    /// Cook 2019, the hermaphrodite
    #[value(name = "cook_2019")]
    #[serde(rename = "cook_2019")]
    Cook2019,
    /// Randi 2023, how activity propagates
    #[value(name = "funconn")]
    #[serde(rename = "funconn")]
    Funconn,
}

/// How a source is called, what its weights count, and whom to cite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name, such as `cook_2019`.
    pub name: String,
    /// What weights are: `synapses`, `sections`, `amplitude`, `mean` or `unknown`.
    pub weight_kind: String,
    /// The papers to cite.
    pub citation: String,
}

/// How a file lays its connections out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Form {
    /// `pre, post, type, synapses`.
    Synapses,
    /// `Neuron 1, Neuron 2, Type, Nbr`.
    Varshney,
    /// `Origin, Target, Type, Number of Connections`.
    Openworm,
    /// `Source, Target, Weight, Type`.
    EdgeList,
    /// `pre, post, weight`; the name of the file tells the type.
    Pairs,
    /// Sheets of matrices, one for chemical synapses and one for gap junctions.
    Matrices,
    /// A sheet of amplitudes and one of significance.
    Amplitudes,
    /// The table of a consensus.
    Consensus,
    /// JSON of WormWideWeb and NemaNode.
    WormWideWeb,
    /// GraphML.
    Graphml,
    /// A network of NeuroML.
    Neuroml,
}

impl Form {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synapses => "a list with pre, post, type, synapses",
            Self::Varshney => "a list with Neuron 1, Neuron 2, Type, Nbr",
            Self::Openworm => "a list with Origin, Target, Type, Number of Connections",
            Self::EdgeList => "a list with Source, Target, Weight, Type",
            Self::Pairs => "a list with pre, post, weight",
            Self::Matrices => "adjacency matrices",
            Self::Amplitudes => "matrices of amplitude and significance",
            Self::Consensus => "the table of a consensus",
            Self::WormWideWeb => "JSON of WormWideWeb",
            Self::Graphml => "GraphML",
            Self::Neuroml => "NeuroML",
        }
    }
}

impl Source {
    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::White1986Whole => "white_1986_whole",
            Self::White1986N2u => "white_1986_n2u",
            Self::White1986Jsh => "white_1986_jsh",
            Self::White1986Jse => "white_1986_jse",
            Self::Witvliet7 => "witvliet_7",
            Self::Witvliet8 => "witvliet_8",
            Self::Chklovskii => "chklovskii",
            Self::Openworm => "openworm",
            Self::Cook2019 => "cook_2019",
            Self::Funconn => "funconn",
        }
    }

    /// What is known of this source; nothing of [`Self::Auto`].
    fn identity(self) -> Option<Identity> {
        let (weight_kind, citation) = match self {
            Self::Auto => return None,
            Self::White1986Whole | Self::White1986N2u | Self::White1986Jsh | Self::White1986Jse => {
                (
                    "synapses",
                    "White, Southgate, Thomson, Brenner 1986, Phil. Trans. R. Soc. B 314:1-340; \
                 tables of Witvliet et al. 2021, Nature 596:257-261",
                )
            }
            Self::Witvliet7 | Self::Witvliet8 => {
                ("synapses", "Witvliet et al. 2021, Nature 596:257-261")
            }
            Self::Chklovskii => (
                "synapses",
                "Chen, Hall, Chklovskii 2006, PNAS 103:4723-4728; \
                 Varshney et al. 2011, PLoS Comput. Biol. 7:e1001066",
            ),
            Self::Openworm => (
                "synapses",
                "OpenWorm's tables of neurons (openworm/c302), from Varshney et al. 2011, \
                 PLoS Comput. Biol. 7:e1001066",
            ),
            Self::Cook2019 => ("sections", "Cook et al. 2019, Nature 571:63-71"),
            Self::Funconn => ("amplitude", "Randi, Sharma, Dvali, Leifer 2023, Nature 623:406-414"),
        };
        Some(Identity {
            name: self.name().to_owned(),
            weight_kind: weight_kind.to_owned(),
            citation: citation.to_owned(),
        })
    }

    /// The forms in which this source was published.
    fn forms(self) -> &'static [Form] {
        // Collections give any of them again in forms of their own.
        match self {
            Self::Auto => &[],
            Self::Chklovskii => &[Form::Varshney],
            Self::Openworm => &[Form::Openworm],
            Self::Cook2019 => &[Form::Matrices, Form::EdgeList, Form::Pairs],
            Self::Funconn => &[Form::Amplitudes],
            _ => &[Form::Synapses],
        }
    }

    /// The form expected instead of `found`, when a file cannot be of this source.
    pub(super) fn refuses(self, found: Form) -> Option<&'static str> {
        let general = [Form::Synapses, Form::WormWideWeb, Form::Graphml, Form::Neuroml];
        // Amplitudes of signal propagation are no counts of synapses.
        let general: &[Form] = if self == Self::Funconn { &general[2..3] } else { &general };
        let fits = self == Self::Auto || general.contains(&found) || self.forms().contains(&found);
        (!fits).then(|| self.forms().first().map_or("a connectome", |form| form.name()))
    }
}

/// Who a file is of: `source`, or what its name and form tell.
pub(super) fn identify(source: Source, form: Form, file: &Path) -> Identity {
    let stem = file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let lower = stem.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().all(|part| lower.contains(part));
    let guess = match (source, form) {
        (Source::Auto, Form::Varshney) => Source::Chklovskii,
        (Source::Auto, Form::Openworm) => Source::Openworm,
        (Source::Auto, Form::Matrices) => Source::Cook2019,
        (Source::Auto, Form::Amplitudes) => Source::Funconn,
        (Source::Auto, Form::EdgeList | Form::Pairs)
            if has(&["cook"]) || has(&["herm", "edgelist"]) =>
        {
            Source::Cook2019
        }
        (Source::Auto, _) if has(&["white", "whole"]) => Source::White1986Whole,
        (Source::Auto, _) if has(&["white", "n2u"]) => Source::White1986N2u,
        (Source::Auto, _) if has(&["white", "jsh"]) => Source::White1986Jsh,
        (Source::Auto, _) if has(&["white", "jse"]) => Source::White1986Jse,
        (Source::Auto, _) if has(&["witvliet"]) && lower.ends_with('7') => Source::Witvliet7,
        (Source::Auto, _) if has(&["witvliet"]) && lower.ends_with('8') => Source::Witvliet8,
        (given, _) => given,
    };
    if let Some(known) = guess.identity() {
        return known;
    }
    let (weight_kind, citation) = match form {
        Form::Consensus => (
            "mean",
            "Simeon, Astrom, Kashyap, Kording, Boyden 2024, arXiv:2411.12091, and each source",
        ),
        Form::Synapses | Form::WormWideWeb => ("synapses", "unknown: cite who measured it"),
        _ => ("unknown", "unknown: cite who measured it"),
    };
    Identity { name: stem, weight_kind: weight_kind.to_owned(), citation: citation.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_the_source() {
        let named = |file: &str, form| identify(Source::Auto, form, Path::new(file)).name;
        assert_eq!(named("aconnectome_white_1986_whole.csv", Form::Synapses), "white_1986_whole");
        assert_eq!(named("white_1986_n2u.csv", Form::Synapses), "white_1986_n2u");
        assert_eq!(named("witvliet_2020_8.xlsx", Form::Synapses), "witvliet_8");
        assert_eq!(named("witvliet_2020_3.xlsx", Form::Synapses), "witvliet_2020_3");
        assert_eq!(named("NeuronConnectFormatted.xlsx", Form::Varshney), "chklovskii");
        assert_eq!(named("herm_full_edgelist.csv", Form::EdgeList), "cook_2019");
        assert_eq!(named("mine.csv", Form::EdgeList), "mine");
        let given = identify(Source::White1986Jse, Form::Synapses, Path::new("x.csv"));
        assert_eq!(given.name, "white_1986_jse");
        assert!(given.citation.contains("1986"));
    }

    #[test]
    fn a_source_refuses_what_it_was_never_published_as() {
        assert!(Source::Cook2019.refuses(Form::Varshney).is_some());
        assert!(Source::Cook2019.refuses(Form::Matrices).is_none());
        assert!(Source::Chklovskii.refuses(Form::WormWideWeb).is_none());
        assert!(Source::Auto.refuses(Form::Amplitudes).is_none());
    }
}
