//! Seeded randomness: every draw comes from ChaCha8 on the host, so that a seed gives the same
//! numbers on every device and with every number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A generator for `seed` and an independent `stream` (a restart, a shard, a feature).
pub fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| rng(seed, stream).random::<u64>();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
