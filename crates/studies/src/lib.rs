//! Studies: each rebuilds a published claim and checks its bars.

pub mod report;
