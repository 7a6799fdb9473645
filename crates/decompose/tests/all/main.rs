//! The methods against planted truth and closed forms, and the way from disk to disk.

mod harness;
mod hierarchy;
mod methods;
mod pipeline;
mod snmf;
