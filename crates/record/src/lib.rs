//! From a network and data, or a foreign file, to a Recording.
