//! Load, measures and verdicts: simulations and experiments.
