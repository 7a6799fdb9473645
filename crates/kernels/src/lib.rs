//! Fused operations behind burn's backend extension, and memory maps.
