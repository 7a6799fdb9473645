//! The methods against planted truth and closed forms, and the way from disk to disk.

mod checkpoints;
mod diff_means;
mod harness;
mod hierarchy;
mod methods;
mod pipeline;
mod snmf;
mod snmf_accelerated;
mod sparse_defaults;
mod sparse_training;
mod sweep;
