//! The published modular-addition networks: exactly as many vectors and edges are needed as the authors found.

use nissl_decompose::interaction_basis::BasisKind;
use nissl_studies::lib_basis::modular_addition::{Follow, adding};

use crate::{published, quiet};

/// What the authors' runs give for seed 3: vectors and edges needed from ln1.0, ln2.0 and the unembedding.
const PUBLISHED: [(BasisKind, [usize; 3], [usize; 3]); 2] =
    [(BasisKind::Lib, [9, 13, 7], [58, 60, 535]), (BasisKind::Pca, [9, 13, 7], [115, 71, 547])];

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn seed_3_needs_the_published_vectors_and_edges() {
    let Some(folder) = published() else {
        eprintln!("skipped: the published modular-addition checkpoints are not here");
        return;
    };
    for (basis, vectors, edges) in PUBLISHED {
        let found = adding(&folder.join("seed3.pt"), basis, Follow::Needs, &quiet()).expect("runs");
        assert!((found.accuracy - 0.99984).abs() < 1e-5, "{}", found.accuracy);
        for ((needs, vectors), edges) in found.required.iter().zip(vectors).zip(edges) {
            let from = &needs.node_layer;
            assert_eq!(needs.vectors, Some(vectors), "vectors of {basis:?} from {from}");
            assert_eq!(needs.edges, Some(edges), "edges of {basis:?} from {from}");
        }
        // The authors' first label at the unembedding is 36(x + y).
        assert_eq!(found.waves[0].strongest().0, 36, "{basis:?}");
    }
}
