//! Units read through the head, against planted weights, closed forms and naive sums.

#[path = "../../../worlds/src/planted_head.rs"]
#[expect(unreachable_pub, reason = "the file is a module of the crate of worlds")]
mod planted_head;

mod bad_input;
mod closed_forms;
mod comparison;
mod planted;
mod support;
mod transcoders;
mod words;
