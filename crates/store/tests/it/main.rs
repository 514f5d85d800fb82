//! Tests of the stores through their seam.

mod conformance;
mod crash;
mod kill;
mod open;
mod support;
mod tamper;
