//! Formats of agents and their traces.
