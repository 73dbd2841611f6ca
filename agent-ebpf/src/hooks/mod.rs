//! The entry points, one file each.

mod connection;
mod owner;
mod socket;
