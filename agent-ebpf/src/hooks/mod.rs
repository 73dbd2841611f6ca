//! The entry points, one file each.

mod owner;
mod socket;
