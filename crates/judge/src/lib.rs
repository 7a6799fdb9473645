//! Language models as explainers and judges: clients, caches, and what stands in for them offline.
//!
//! A [`Client`] answers many questions at once, keeps the answers, and stops at a budget; behind it is
//! any [`Chat`](nissl_core::chat::Chat): a server ([`Http`]), a local network, or a script
//! ([`Scripted`]).

pub mod answers;
mod cache;
mod client;
mod http;
mod meter;
mod scripted;
pub mod sentences;
mod settings;

pub use cache::{Cache, Cached, Replay, question_key};
pub use client::Client;
pub use http::{Http, Key};
pub use meter::{Estimate, Meter, Metered, Spent, tokens_of};
pub use scripted::Scripted;
pub use settings::{ChatSettings, Reach};
