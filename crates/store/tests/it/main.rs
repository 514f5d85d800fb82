//! Tests of the stores through their seam.

mod conformance;
mod crash;
mod support;
mod tamper;
