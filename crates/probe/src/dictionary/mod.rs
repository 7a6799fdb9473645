//! Trained sparse dictionaries in the network they were trained on: what it says with sites replaced
//! by what dictionaries make of them, and how good the dictionaries are.
//!
//! For an SAE `ŷ = decode(encode(x))` takes the place of `x`; for a transcoder the `ŷ` that it makes of
//! what an MLP reads takes the place of what the MLP writes. With the error added back,
//! `y + decode(z′) − decode(z)` takes that place, where `z` is the code and `z′` the code as changed:
//! without changes the network says exactly what it said.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §3 and §5; the error kept apart: Marks et
//! al. 2024, arXiv:2403.19647, §3.
//! Memory: one batch of activity and logits; codes a block of tokens at a time.

mod baselines;
mod change;
mod effect;
mod evaluate;
mod fit;
mod greater_than;
mod measure;
mod pass;
mod prompts;
mod replacement;
mod sites;
mod task;

pub use baselines::{Baseline, Comparison, compare};
pub use change::{FeatureChange, FeatureEdit, Kept, Rest};
pub use effect::{Effect, TokenChange, effect};
pub use evaluate::{Evaluate, Evaluated, evaluate};
pub use fit::{SiteFit, fits, require_fit};
pub use greater_than::greater_than;
pub use measure::{Bin, Measured};
pub use prompts::{Answer, Prompt, TaskPrompt, read_prompts};
pub use replacement::{ErrorTerm, Replacement, freeze};
pub use sites::{Sites, sites_of};
pub use task::{At, Task, TaskCurve, Units, task};
