//! The search for the levels above groups, and for groups and levels together.
//!
//! Each level is a block model of the edge counts of the level below, found by agglomeration; levels are
//! added until one group is left. Nodes then move with the levels in view, the levels are found anew, by
//! turns, as long as the description length falls.

use rand_chacha::ChaCha8Rng;

use super::hierarchy::{Counts, Upper};
use super::merging::{Rung, agglomerate};
use super::moves::{Groups, LEAST_GAIN, anneal, settle};
use super::objective::Objective;
use super::splitting::merge_split;
use super::state::State;

/// Turns of groups and levels.
const TURNS: usize = 6;
/// Partitions of a restart that are polished.
pub(super) const POLISHED: usize = 3;
/// Sweeps in a turn.
const SWEEPS: usize = 20;

/// Levels above groups with these counts between them, up to a single group; `is_quick` leaves out the
/// splits and merges.
pub(super) fn levels_above(
    counts: &Counts,
    is_quick: bool,
    random: &mut ChaCha8Rng,
) -> Vec<Vec<u32>> {
    let mut levels = Vec::new();
    let mut counts = counts.clone();
    loop {
        let groups = counts.sizes.len();
        let of = if groups > 2 { level(&counts, is_quick, random) } else { vec![0; groups] };
        let found = of.iter().max().map_or(0, |&most| most as usize + 1);
        if found <= 1 || found == groups {
            levels.push(vec![0; groups]);
            return levels;
        }
        counts = counts.above(&of);
        levels.push(of);
    }
}

/// The best groups of one level, told from the counts with nothing above.
fn level(counts: &Counts, is_quick: bool, random: &mut ChaCha8Rng) -> Vec<u32> {
    let groups = counts.sizes.len();
    let count = |a: usize, b: usize| counts.edges[a * groups + b] as u32;
    let loops = (0..groups).map(|group| count(group, group)).collect();
    let pairs = (0..groups).flat_map(|a| (0..a).map(move |b| (a, b)));
    let edges = pairs.filter(|&(a, b)| count(a, b) > 0);
    let edges = edges.map(|(a, b)| (a as u32, b as u32, count(a, b))).collect();
    let objective = Objective::of_counts(loops, edges);
    let alone: Vec<u32> = (0..groups as u32).collect();
    let rungs = agglomerate(State::new(&objective, &alone, None), random);
    let Some(best) = rungs.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost)) else {
        return vec![0; groups];
    };
    if is_quick {
        return best.of;
    }
    let mut state = State::new(&objective, &best.of, None);
    merge_split(&mut state, random);
    state.recount();
    state.of
}

/// The best groups with their levels, begun from partitions that agglomeration passed.
pub(super) fn with_levels<'a>(
    objective: &'a Objective,
    rungs: &[Rung],
    sweeps: usize,
    random: &mut ChaCha8Rng,
) -> State<'a> {
    let flat = rungs.iter().min_by(|a, b| a.cost.total_cmp(&b.cost)).map_or(1, |rung| rung.groups);
    // A hierarchy pays for more groups than the flat prior does, never for fewer.
    let within = rungs.iter().filter(|rung| rung.groups >= flat && rung.groups <= 4 * flat + 8);
    let mut raised: Vec<(f64, State<'a>)> = within
        .map(|rung| {
            let mut state = State::new(objective, &rung.of, None);
            raise(&mut state, true, random);
            (state.cost(), state)
        })
        .collect();
    raised.sort_by(|a, b| a.0.total_cmp(&b.0));
    raised.truncate(POLISHED);
    let polished = raised.into_iter().map(|(_, mut state)| {
        improve(&mut state, random);
        let mut cooled = state.clone();
        anneal(&mut cooled, sweeps, random);
        improve(&mut cooled, random);
        if cooled.cost() < state.cost() - LEAST_GAIN { cooled } else { state }
    });
    let best = polished.min_by(|a, b| a.cost().total_cmp(&b.cost()));
    best.unwrap_or_else(|| State::new(objective, &vec![0; objective.nodes()], Some(&[])))
}

fn raise(state: &mut State<'_>, is_quick: bool, random: &mut ChaCha8Rng) {
    let counts = state.counts();
    state.upper = Some(Upper::new(&counts, &levels_above(&counts, is_quick, random)));
}

fn improve(state: &mut State<'_>, random: &mut ChaCha8Rng) {
    for _ in 0..TURNS {
        let before = state.cost();
        settle(state, Groups::Free, SWEEPS, random);
        merge_split(state, random);
        let mut raised = State::new(state.objective, &state.of, None);
        raise(&mut raised, false, random);
        if raised.cost() < state.cost() - LEAST_GAIN {
            *state = raised;
        }
        if state.cost() > before - LEAST_GAIN {
            break;
        }
    }
}
