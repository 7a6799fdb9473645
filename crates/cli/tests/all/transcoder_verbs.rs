//! Verbs that ask what a feature writes take a transcoder's target, end to end.

use std::path::Path;

use ndarray::Array2;
use nissl_core::features::{Dictionary, Encoding, Features, FeaturesPlan, FeaturesWriter};
use nissl_core::store::{Existing, Provenance};
use serde_json::Value;

use crate::attribution::transcoders;
use crate::support::{json, made, scratch, succeed};

/// Directions `[feature, unit]` at the MLP's output, as features of that site.
fn at_output(features: &Features, directions: Array2<f32>, to: &Path) {
    let provenance = Provenance::here(&"test", 0, "cpu");
    let units = features.output_unit_table().clone();
    let plan = FeaturesPlan::new(units, serde_json::json!({"method": "neurons"}), provenance);
    let dictionary = Dictionary::new(directions, Encoding::Projection);
    FeaturesWriter::create(to, &plan, Existing::Refuse, || Ok(dictionary))
        .and_then(FeaturesWriter::finish_dictionary)
        .expect("writes");
}

#[test]
fn what_a_transcoder_writes_is_ablated_read_through_the_head_and_compared() {
    let folder = scratch();
    let features = Features::open(&transcoders().join("t")).expect("a transcoder");
    let dictionary = features.dictionary();
    // The same features, once by what they write and once, as a control, by what they read.
    at_output(&features, dictionary.written().to_owned(), &folder.path().join("written"));
    at_output(&features, dictionary.decoder.clone(), &folder.path().join("read"));
    let (t, rec) = (transcoders().join("t"), transcoders().join("rec"));
    let (t, rec) = (t.display().to_string(), rec.display());
    let net = made().join("net");
    let net = net.display();
    let of = |line: &dyn Fn(&str) -> String, features: &str| -> Value {
        json(folder.path(), &line(features))
    };
    let same = |line: &dyn Fn(&str) -> String| {
        assert!(of(line, &t) == of(line, "written"), "{}", line("…"));
    };
    let other = |line: &dyn Fn(&str) -> String| {
        assert!(of(line, &t) != of(line, "read"), "{}", line("…"));
    };
    let live = features.table().bools("dead").expect("a column").iter().position(|dead| !dead);
    let live = live.expect("a live feature");
    let ablate = format!("--model {net} --recording {rec} --sequences 6 --removal");
    let ablated = |removal: &'static str| {
        let ablate = &ablate;
        move |features: &str| format!("probe ablate {features}:{live} {ablate} {removal}")
    };
    // A direction over all units takes them all to their mean, whichever it is.
    same(&ablated("mean"));
    same(&ablated("project"));
    other(&ablated("project"));
    same(&|features: &str| format!("probe overlap {features} --pairs 5"));
    same(&|features: &str| format!("probe overlap {features} --features 0,1,2"));
    let down = |features: &str| {
        let line = format!("explain lm-head {features} --model {net} --part down");
        succeed(folder.path(), &line).stdout
    };
    assert!(down(&t) == down("written") && down(&t) != down("read"));
    succeed(folder.path(), &format!("explain lm-head {t} --model {net} --part up"));
}

#[test]
fn a_transcoder_is_shown_with_the_sites_it_reads_and_writes() {
    let (t, net) = (transcoders().join("t"), made().join("net"));
    let t = t.display();
    let folder = scratch();
    let shown = json(folder.path(), &format!("show {t}:3"));
    assert_eq!(shown[0]["reads"][0], "layers.0.mlp.in");
    assert_eq!(shown[0]["writes"][0], "layers.0.mlp.out");
    let unit = shown[0]["written_units"][0]["name"].as_str().expect("a name");
    assert!(unit.starts_with("layers.0.mlp.out:"), "{unit}");
    let text = succeed(folder.path(), &format!("show {t}:3")).stdout;
    assert!(text.contains("reads layers.0.mlp.in · writes layers.0.mlp.out"), "{text}");
    assert!(text.contains("\nreads 16 units\n") && text.contains("\nwrites 16 units\n"), "{text}");
    let list = succeed(folder.path(), &format!("show {t}")).stderr;
    assert!(list.contains("reads layers.0.mlp.in · writes layers.0.mlp.out"), "{list}");
    succeed(folder.path(), &format!("show {t}:3 --html page.html"));
    let page = std::fs::read_to_string(folder.path().join("page.html")).expect("a page");
    assert!(page.contains("layers.0.mlp.out:"));
    // Descriptions ask about the tokens that are pushed from the target.
    let line = format!("explain logit-lens {t} --model {} --limit 2", net.display());
    assert!(succeed(folder.path(), &line).stdout.lines().count() == 3);
}
