//! The house rules hold for the whole repository.

use std::path::Path;

#[test]
fn the_repository_keeps_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let offences = xtask::tidy(&root);
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}
