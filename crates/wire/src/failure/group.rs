//! Groups of failures that a text can tell apart, once type, code or status named the group.
//!
//! A text is read only for what its group can be: a refused request can be an overflow, a server
//! error that speaks of the context length is still a server error.

/// A set of groups; each group is one bit.
pub(super) type Group = u16;

/// The request was refused: 400 and its kin.
pub(super) const REQUEST: Group = 1;
/// Who called is unknown or not allowed: 401 and 403.
pub(super) const IDENTITY: Group = 1 << 1;
/// Something does not exist: 404.
pub(super) const MISSING: Group = 1 << 2;
/// Too much was asked for: 429 and 402.
pub(super) const LIMIT: Group = 1 << 3;
/// `RESOURCE_EXHAUSTED`, whose texts speak of quota and mean a rate.
pub(super) const EXHAUSTED: Group = 1 << 4;
/// The request is too large: 413.
pub(super) const SIZE: Group = 1 << 5;
/// The service failed: 5xx.
pub(super) const SERVER: Group = 1 << 6;
/// There was no answer.
pub(super) const NETWORK: Group = 1 << 7;
/// Nothing is known but the text.
pub(super) const NONE: Group = 1 << 8;
