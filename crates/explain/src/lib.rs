//! From Features to words: examples, logit lens, neuron composition.
