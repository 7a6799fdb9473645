//! Merge–split moves of a search: a group is cut in two, two are merged, or two are cut anew.
//!
//! A cut starts with the two nodes of a group whose weights to the groups differ most, or by chance, and
//! three sweeps of moves between the two. What lowers the description length is kept; ten failures in a
//! row end the search.
//!
//! Source: Peixoto 2020, Phys. Rev. E 102:012305. Differs: greedy, not a Markov chain.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::moves::{Groups, LEAST_GAIN, settle};
use super::state::State;

/// Failures in a row that end the search.
const PATIENCE: usize = 10;
/// Sweeps between the two halves of a cut.
const SWEEPS: usize = 3;
/// Pairs of groups of which the cheapest is merged.
const PAIRS: usize = 10;
/// Sweeps of all nodes after an accepted move.
const AFTER: usize = 10;

/// Splits and merges until nothing is gained any more.
pub(super) fn merge_split(state: &mut State<'_>, random: &mut ChaCha8Rng) {
    let mut cost = state.cost();
    let (mut failures, mut turn) = (0, 0);
    while failures < PATIENCE {
        let mut tried = state.clone();
        let is_done = match turn % 3 {
            0 => split(&mut tried, turn % 2 == 0, random),
            1 => merge(&mut tried, random),
            _ => recut(&mut tried, random),
        };
        turn += 1;
        if is_done {
            settle(&mut tried, Groups::Free, AFTER, random);
        }
        let now = tried.cost();
        if is_done && now < cost - LEAST_GAIN {
            cost = now;
            failures = 0;
            *state = tried;
        } else {
            failures += 1;
        }
    }
}

fn split(state: &mut State<'_>, is_seeded: bool, random: &mut ChaCha8Rng) -> bool {
    let large: Vec<usize> = (0..state.groups).filter(|&group| state.size[group] > 1).collect();
    let Some(&group) = large.get(random.random_range(0..large.len().max(1))) else {
        return false;
    };
    let mut nodes = members(state, group);
    let half = if is_seeded {
        far_from_first(state, &mut nodes, random)
    } else {
        nodes.shuffle(random);
        nodes.len() / 2
    };
    let new = state.groups;
    for &node in &nodes[half..] {
        state.look(node);
        state.shift(new);
    }
    between(state, &nodes, (group, new), random);
    true
}

/// Orders the nodes so that those nearer to one seed come first, and tells how many these are.
fn far_from_first(state: &State<'_>, nodes: &mut Vec<usize>, random: &mut ChaCha8Rng) -> usize {
    let profile = |node: usize| {
        let mut profile = vec![0.0; 2 * state.groups];
        for link in state.objective.links(node) {
            let group = state.of[link.to as usize] as usize;
            profile[2 * group] += f64::from(link.sums.edges);
            profile[2 * group + 1] += link.sums.x + link.sums.y;
        }
        profile
    };
    let profiles: Vec<Vec<f64>> = nodes.iter().map(|&node| profile(node)).collect();
    let apart = |a: usize, b: usize| -> f64 {
        profiles[a].iter().zip(&profiles[b]).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let first = random.random_range(0..nodes.len());
    let furthest = |from: usize| {
        (0..nodes.len()).max_by(|&a, &b| apart(from, a).total_cmp(&apart(from, b))).unwrap_or(from)
    };
    let second = furthest(first);
    let is_near: Vec<bool> = (0..nodes.len())
        .map(|place| {
            place == first || (place != second && apart(first, place) < apart(second, place))
        })
        .collect();
    let near = (0..nodes.len()).filter(|&place| is_near[place]).map(|place| nodes[place]);
    let far = (0..nodes.len()).filter(|&place| !is_near[place]).map(|place| nodes[place]);
    let sorted: Vec<usize> = near.chain(far).collect();
    *nodes = sorted;
    is_near.iter().filter(|is_near| **is_near).count()
}

/// Moves the nodes between two groups only, to the better one.
fn between(
    state: &mut State<'_>,
    nodes: &[usize],
    (a, b): (usize, usize),
    random: &mut ChaCha8Rng,
) {
    let mut order = nodes.to_vec();
    for _ in 0..SWEEPS {
        order.shuffle(random);
        for &node in &order {
            let own = state.of[node] as usize;
            if state.size[own] == 1 {
                continue;
            }
            state.look(node);
            let other = if own == a { b } else { a };
            if state.delta(other) < -LEAST_GAIN {
                state.shift(other);
            }
        }
    }
}

/// The cheapest of some pairs; none when there is one group.
fn cheapest(state: &State<'_>, random: &mut ChaCha8Rng) -> Option<(usize, usize)> {
    if state.groups < 2 {
        return None;
    }
    let mut pairs: Vec<(usize, usize)> =
        (0..state.groups).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    if pairs.len() > PAIRS {
        pairs.shuffle(random);
        pairs.truncate(PAIRS);
    }
    let cost = |&(a, b): &(usize, usize)| state.merge_delta(a, b);
    pairs
        .into_iter()
        .map(|pair| (cost(&pair), pair))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|it| it.1)
}

fn members(state: &State<'_>, group: usize) -> Vec<usize> {
    (0..state.of.len()).filter(|&node| state.of[node] as usize == group).collect()
}

fn merge(state: &mut State<'_>, random: &mut ChaCha8Rng) -> bool {
    let Some((gone, kept)) = cheapest(state, random) else { return false };
    // The last of them takes the number of the group with it.
    for node in members(state, gone) {
        state.look(node);
        state.shift(kept);
    }
    true
}

fn recut(state: &mut State<'_>, random: &mut ChaCha8Rng) -> bool {
    let Some((a, b)) = cheapest(state, random) else { return false };
    let mut nodes = members(state, a);
    nodes.extend(members(state, b));
    nodes.shuffle(random);
    for (place, &node) in nodes.iter().enumerate() {
        let (own, to) = (state.of[node] as usize, if place % 2 == 0 { a } else { b });
        if own != to && state.size[own] > 1 {
            state.look(node);
            state.shift(to);
        }
    }
    between(state, &nodes, (a, b), random);
    true
}
