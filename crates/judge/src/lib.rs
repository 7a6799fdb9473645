//! Language models as explainers and judges: clients, caches, and what stands in for them offline.
