//! From a network and data, or a foreign file, to a Recording.

pub mod connectome;
pub mod export;
pub mod files;
pub mod import;
pub mod network;
pub mod stream;
pub mod text;
mod windows;
pub mod world;
pub mod worm;

pub use network::{Dtype, RecordNetwork, record};
pub use stream::{NetworkStream, StreamNetwork};
pub use text::{Document, Documents, documents};
