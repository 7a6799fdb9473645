//! End-to-end tests of the `nissl` binary: one test program, so that it links once.

mod artefacts;
mod attribution;
mod bad_networks;
mod bad_recordings;
mod bad_texts;
mod checkpoints;
mod circuits;
mod clamping;
mod describing;
mod dictionaries;
mod fine_tuning;
mod full_disk;
mod help;
mod house_rules;
mod interaction;
mod interruption;
mod lm_head;
mod matrices;
mod output;
mod probing;
mod recording;
mod reports;
mod reversal;
mod showing;
mod support;
mod way;
