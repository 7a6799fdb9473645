//! Checkpoints of other tools: what they encode and predict, what is written back, and what is refused.

mod by_sae_lens;
mod cross;
mod import;
mod makers;
mod makers_pickled;
mod makers_sae_lens;
mod raw;
mod refusals;
mod round_trip;
