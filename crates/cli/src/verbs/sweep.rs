//! `nissl decompose METHOD REC -o DIR --sweep k=50,100,200 --each-site`

use std::path::Path;
use std::process::ExitCode;

use nissl_core::progress::significant;
use nissl_core::site::select;
use nissl_core::{Recording, Result, Site, SiteGlob};
use nissl_decompose::sweep::{Choose, Outcome, Sweep, Varied, sweep};
use nissl_decompose::{Method, Options};

use crate::Context;

/// Several settings or sites at once.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sweep")]
pub(super) struct Sweeping {
    /// Try several values of one setting, such as k=50,100,200: features go to a folder for each
    #[arg(long, value_name = "SETTING=VALUES")]
    sweep: Option<Varied>,
    /// Decompose each site by itself, in a folder of its name (of the sites that --site selects)
    #[arg(long)]
    each_site: bool,
    /// Fit each setting with this many seeds and tell how well their features agree
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    seeds: usize,
    /// By what the setting of a sweep is chosen
    #[arg(long, value_enum, default_value_t)]
    choose: Choose,
}

impl Sweeping {
    /// Whether more than one dictionary is asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.sweep.is_some() || self.each_site || self.seeds != 1
    }

    pub(super) fn run(
        &self,
        method: &Method,
        recording: Recording,
        site: Option<&SiteGlob>,
        out: &Path,
        options: &Options,
        context: &Context<'_>,
    ) -> Result<ExitCode> {
        let what = Sweep { varied: self.sweep.clone(), seeds: self.seeds, choose: self.choose };
        let (recording, sites) = match (self.each_site, site) {
            (true, _) => {
                let sites = sites(&recording, site)?;
                (recording, sites)
            }
            (false, None) => (recording, Vec::new()),
            (false, Some(site)) => (recording.only(site)?, Vec::new()),
        };
        let outcomes = sweep(method, &recording, &sites, out, &what, options, context.progress)?;
        if context.printer.is_json() {
            context.printer.json(&serde_json::json!({ "path": out, "settings": outcomes }))?;
        } else {
            let setting = what.varied.as_ref().map_or("setting", |varied| varied.field.as_str());
            table(setting, &outcomes, context);
        }
        for outcome in outcomes.iter().filter(|outcome| outcome.chosen) {
            context.printer.note(&format!(
                "chosen: {} · {}",
                out.join(&outcome.folder).display(),
                outcome.reason
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The recorded sites that the glob selects, each once.
fn sites(recording: &Recording, glob: Option<&SiteGlob>) -> Result<Vec<Site>> {
    let all = recording.sites();
    let chosen = match glob {
        None => all.iter().collect(),
        Some(glob) => {
            let name = recording.path().display().to_string();
            select(&name, &all, std::slice::from_ref(glob))?
        }
    };
    let mut sites: Vec<Site> = Vec::new();
    for site in chosen {
        if !sites.contains(site) {
            sites.push(site.clone());
        }
    }
    Ok(sites)
}

fn table(setting: &str, outcomes: &[Outcome], context: &Context<'_>) {
    let figure = |value: Option<f64>| value.map_or_else(String::new, significant);
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|it| {
            vec![
                it.site.clone(),
                it.value.clone(),
                it.features.to_string(),
                figure(it.held_out),
                figure(it.fit),
                it.dead.to_string(),
                figure(it.loss),
                figure(it.stability),
                if it.chosen { "chosen" } else { "" }.to_owned(),
                it.folder.clone(),
            ]
        })
        .collect();
    let headers = [
        "site",
        setting,
        ">features",
        ">held-out",
        ">fit",
        ">dead",
        ">loss",
        ">stability",
        "",
        "folder",
    ];
    context.printer.table(&headers, &rows);
}
