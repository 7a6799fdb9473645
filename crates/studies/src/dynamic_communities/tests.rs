//! The planted world as the study reads it, on a few seeds.

use nissl_core::Progress;

use super::*;

#[test]
fn two_worlds_meet_the_bars_that_each_has_alone() {
    let progress = Progress::silent();
    for seed in 0..2 {
        let found = Found::of(seed, &progress).expect("finds");
        for motif in 0..RANK {
            assert!(found.times[motif] >= 0.85, "{motif}: {:?}", found.times);
            assert!(found.animals[motif] >= 0.95, "{motif}: {:?}", found.animals);
            assert!(found.auroc[motif] >= 0.98, "{motif}: {:?}", found.auroc);
            assert!(found.nmi[motif] >= 0.75, "{motif}: {:?}", found.nmi);
        }
        assert!(found.stability >= 0.98, "{}", found.stability);
        assert!((4..=5).contains(&found.scan.rank), "{:?}", found.scan.rows);
    }
}

#[test]
#[ignore = "minutes of all worlds; the study itself is the check"]
fn the_whole_study() {
    let folder = tempfile::tempdir().expect("a folder");
    let progress = Progress::silent();
    let setting = Setting { seed: 0, folder: folder.path(), data: None, progress: &progress };
    let findings = run(&setting).expect("runs");
    let told: Vec<String> = findings
        .bars
        .bars
        .iter()
        .map(|bar| format!("{} {} {}", bar.pass(), bar.value, bar.name))
        .collect();
    assert!(findings.bars.bars.iter().all(crate::report::Bar::pass), "{told:#?}");
}

#[test]
fn a_neuron_that_is_removed_changes_its_own_component_most() {
    let progress = Progress::silent();
    let found = Found::of(3, &progress).expect("finds");
    let affinities = found::affinities(&found.recorded, &progress).expect("affinities");
    let ntf = found::settings(3, 1, nissl_decompose::ntf::Ranks::one(RANK));
    let names = ["N07".to_owned(), "N39".to_owned()];
    let told =
        removals(&found.components, &affinities, &found.communities, &names, &ntf, &progress)
            .expect("removes");
    let lost = |neuron: &str, component: usize| {
        let one = told.iter().find(|one| one.neuron == neuron && one.component == component);
        one.expect("told").lost
    };
    // N07 is one of ten in a group of M0 and one of twelve in M1; N39 is in no group.
    let [own, other] = [0, 3].map(|motif| lost("N07", found.component[motif]));
    assert!(own > 0.05 && own > 3.0 * other.abs(), "{own} {other}");
    for component in 0..RANK {
        assert!(lost("N39", component).abs() < 0.05, "{told:?}");
    }
    let wrong = removals(
        &found.components,
        &affinities,
        &found.communities,
        &["X".to_owned()],
        &ntf,
        &progress,
    );
    assert!(wrong.expect_err("not there").to_string().contains("neuron"));
}
