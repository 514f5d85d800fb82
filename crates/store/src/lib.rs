//! Stores of the record.
