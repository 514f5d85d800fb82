//! Plans the way back: from a bad decision to ordered steps that take it and what followed from it
//! back.
//!
//! Decides on values and acts on nothing: what was called and what came back, what the records
//! held before and after, what they hold now, and which decisions depend on which are all
//! arguments. The [`Plan`] that comes out is data: it is stored, shown, compared and approved
//! before anybody carries it out.
//!
//! [`Catalogue`] holds what is known about tools, [`Facts`] what is known about the incident; [`plan()`]
//! makes one of them the way back. [`dependants`] says what writes changed for later calls, and
//! [`relied_on`] what earlier writes changed for one.

pub mod catalogue;
mod changes;
mod claim;
mod each;
mod facts;
mod fields;
pub mod plan;
mod planner;
mod render;
mod suggest;

pub use catalogue::{Catalogue, Images};
pub use claim::Claim;
pub use each::{Each, InTurn};
pub use facts::{Call, Facts, Member, Told};
pub use lineage::Checkpoint;
pub use plan::Plan;
pub use planner::{Dependant, dependants, dependants_by, plan, plan_by, relied_on};
pub use render::Change;
pub use suggest::{Seen, suggest};
