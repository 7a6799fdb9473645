//! Interventions and scores: truth matching, steering, ablation.
