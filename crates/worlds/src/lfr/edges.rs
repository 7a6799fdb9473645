//! Simple graphs of given degrees: the largest needs are joined first, then edges are swapped at random.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Swaps tried for each edge.
const SWAPS: usize = 10;

/// Edges `(a, b)`, `a < b`, between pairs that `may` be joined; a need that finds no partner is left.
pub(super) fn joined(
    needs: &[usize],
    may: &dyn Fn(usize, usize) -> bool,
    random: &mut ChaCha8Rng,
) -> Vec<(u32, u32)> {
    let nodes = needs.len();
    let mut left = needs.to_vec();
    let mut is_edge = vec![false; nodes * nodes];
    let mut edges = Vec::new();
    let mut is_done = vec![false; nodes];
    while let Some(node) =
        (0..nodes).filter(|&node| !is_done[node] && left[node] > 0).max_by_key(|&node| left[node])
    {
        is_done[node] = true;
        let mut others: Vec<usize> = (0..nodes)
            .filter(|&it| {
                it != node && left[it] > 0 && may(node, it) && !is_edge[node * nodes + it]
            })
            .collect();
        others.sort_by_key(|&other| std::cmp::Reverse(left[other]));
        for other in others.into_iter().take(left[node]) {
            is_edge[node * nodes + other] = true;
            is_edge[other * nodes + node] = true;
            left[node] -= 1;
            left[other] -= 1;
            edges.push((node, other));
        }
    }
    // Two edges exchange their ends, wherever both new ones may be.
    for _ in 0..SWAPS * edges.len() {
        let (first, second) =
            (random.random_range(0..edges.len()), random.random_range(0..edges.len()));
        let ((a, b), (c, d)) = (edges[first], edges[second]);
        let (c, d) = if random.random::<bool>() { (c, d) } else { (d, c) };
        let fits = |x: usize, y: usize| x != y && may(x, y) && !is_edge[x * nodes + y];
        if first != second && fits(a, d) && fits(c, b) && (a, d) != (b, c) {
            for (x, y, is_there) in [(a, b, false), (c, d, false), (a, d, true), (c, b, true)] {
                is_edge[x * nodes + y] = is_there;
                is_edge[y * nodes + x] = is_there;
            }
            edges[first] = (a, d);
            edges[second] = (c, b);
        }
    }
    edges.into_iter().map(|(a, b)| (a.min(b) as u32, a.max(b) as u32)).collect()
}

/// Inner and outer edges of each node.
pub(super) fn counts(pairs: &[(u32, u32)], is_inner: &[bool], nodes: usize) -> Vec<[usize; 2]> {
    let mut counts = vec![[0; 2]; nodes];
    for (&(a, b), &is_inner) in pairs.iter().zip(is_inner) {
        counts[a as usize][usize::from(!is_inner)] += 1;
        counts[b as usize][usize::from(!is_inner)] += 1;
    }
    counts
}
