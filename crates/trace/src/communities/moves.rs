//! Moves of single nodes: greedy, and by a heat bath at an inverse temperature.
//!
//! At inverse temperature `β` a node goes to a group with probability `∝ exp(−β ΔΣ)`.
//! Differs: beyond 32 groups only a draw of those of its neighbours, and of others, is considered.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::state::State;

/// Up to this many groups every one is considered.
const ALL: usize = 32;
/// Groups of neighbours, and others, considered beyond.
const NEAR: usize = 12;
const FAR: usize = 4;
/// A gain below this is rounding.
pub(super) const LEAST_GAIN: f64 = 1e-9;

/// Which groups moves may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Groups {
    /// Only those there are; a group may die when that is a gain.
    Given,
    /// Only those there are, and none dies.
    Fixed,
    /// New ones as well.
    Free,
}

/// Moves every node once to its best group; the number of moves.
pub(super) fn sweep(state: &mut State<'_>, groups: Groups, random: &mut ChaCha8Rng) -> usize {
    let mut order: Vec<usize> = (0..state.of.len()).collect();
    order.shuffle(random);
    let mut moved = 0;
    for node in order {
        state.look(node);
        let own = state.of[node] as usize;
        if groups == Groups::Fixed && state.size[own] == 1 {
            continue;
        }
        let mut best = (0.0 - LEAST_GAIN, own);
        if state.groups <= ALL {
            for to in 0..state.groups + usize::from(groups == Groups::Free) {
                consider(state, to, &mut best);
            }
        } else {
            let links = state.objective.links(node);
            for _ in 0..NEAR.min(links.len()) {
                let near = links[random.random_range(0..links.len())].to;
                consider(state, state.of[near as usize] as usize, &mut best);
            }
            for _ in 0..FAR {
                consider(state, random.random_range(0..state.groups), &mut best);
            }
            if groups == Groups::Free {
                consider(state, state.groups, &mut best);
            }
        }
        if best.1 != own {
            state.shift(best.1);
            moved += 1;
        }
    }
    moved
}

fn consider(state: &mut State<'_>, to: usize, best: &mut (f64, usize)) {
    let delta = state.delta(to);
    if delta < best.0 {
        *best = (delta, to);
    }
}

/// Sweeps until no node moves, `most` of them at most.
pub(super) fn settle(state: &mut State<'_>, groups: Groups, most: usize, random: &mut ChaCha8Rng) {
    for _ in 0..most {
        if sweep(state, groups, random) == 0 {
            break;
        }
    }
}

/// Draws the group of every node anew at inverse temperature `beta`.
pub(super) fn heat(state: &mut State<'_>, groups: Groups, beta: f64, random: &mut ChaCha8Rng) {
    let mut order: Vec<usize> = (0..state.of.len()).collect();
    order.shuffle(random);
    let mut shares = Vec::new();
    for node in order {
        let own = state.of[node] as usize;
        let is_alone = state.size[own] == 1;
        if is_alone && groups != Groups::Free {
            continue;
        }
        state.look(node);
        // Alone, the node stands in its new group already.
        let choices = state.groups + usize::from(groups == Groups::Free && !is_alone);
        shares.clear();
        shares.extend((0..choices).map(|to| -beta * state.delta(to)));
        state.shift(drawn(&mut shares, random));
    }
}

/// An index drawn with probability `∝ exp(share)`.
pub(super) fn drawn(shares: &mut [f64], random: &mut ChaCha8Rng) -> usize {
    let most = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for share in shares.iter_mut() {
        *share = (*share - most).exp();
        total += *share;
    }
    let mut left = random.random::<f64>() * total;
    for (index, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return index;
        }
    }
    shares.len() - 1
}

/// Cools from `β = 1` to a standstill within `sweeps` sweeps, and then to the nearest minimum.
pub(super) fn anneal(state: &mut State<'_>, sweeps: usize, random: &mut ChaCha8Rng) {
    for step in 0..sweeps {
        let beta = sweeps as f64 / (sweeps - step) as f64;
        heat(state, Groups::Fixed, beta, random);
    }
    settle(state, Groups::Free, 50, random);
}
