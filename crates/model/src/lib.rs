//! The words of Rescind.
