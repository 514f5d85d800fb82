//! What followed from what.
