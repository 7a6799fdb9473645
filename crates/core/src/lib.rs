//! The nouns of nissl, their stores, sites, taps and shared statistics.

pub mod archive;
pub mod chat;
pub mod components;
pub mod device;
pub mod error;
pub mod features;
pub mod files;
pub mod graph;
pub mod labelled_text;
pub mod mapping;
pub mod network;
pub mod numbers;
pub mod progress;
pub mod recording;
pub mod section;
pub mod seed;
pub mod site;
pub mod split;
pub mod stats;
pub mod store;
pub mod table;
pub mod taps;

pub use error::{Error, IoContext, Result};
pub use graph::Graph;
pub use mapping::Mapping;
pub use progress::Progress;
pub use recording::{Recording, RecordingWriter};
pub use site::{Site, SiteGlob};
pub use table::{Column, Table, TableWriter};
