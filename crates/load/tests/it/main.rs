//! Tests of what measures and kills, and a short round of crashes.

mod crash;
mod relay;
mod upstream;
mod window;
