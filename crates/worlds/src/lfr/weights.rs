//! Positive weights that give every node its strength inside and outside its community.

/// Rounds of scaling at most.
const ROUNDS: usize = 2000;
/// Relative change of a weight below which scaling ends.
const LEAST_CHANGE: f64 = 1e-3;

/// Weights `[edge]`: each is scaled by the geometric mean of what its two ends lack, by turns.
pub(super) fn scaled(
    pairs: &[(u32, u32)],
    is_inner: &[bool],
    counts: &[[usize; 2]],
    wanted: &[[f64; 2]],
) -> Vec<f64> {
    let side = |is_inner: bool| usize::from(!is_inner);
    let share = |node: u32, side: usize| {
        wanted[node as usize][side] / counts[node as usize][side].max(1) as f64
    };
    let mut weights: Vec<f64> = pairs
        .iter()
        .zip(is_inner)
        .map(|(&(a, b), &is_inner)| (share(a, side(is_inner)) * share(b, side(is_inner))).sqrt())
        .collect();
    for _ in 0..ROUNDS {
        let mut reached = vec![[0.0; 2]; wanted.len()];
        for ((&(a, b), &weight), &is_inner) in pairs.iter().zip(&weights).zip(is_inner) {
            reached[a as usize][side(is_inner)] += weight;
            reached[b as usize][side(is_inner)] += weight;
        }
        let mut change: f64 = 0.0;
        for ((&(a, b), weight), &is_inner) in pairs.iter().zip(&mut weights).zip(is_inner) {
            let lack = |node: u32| {
                let (node, side) = (node as usize, side(is_inner));
                wanted[node][side] / reached[node][side].max(f64::MIN_POSITIVE)
            };
            let factor = (lack(a) * lack(b)).sqrt();
            change = change.max((factor - 1.0).abs());
            *weight *= factor;
        }
        if change < LEAST_CHANGE {
            break;
        }
    }
    weights
}
