//! The entry points, one file each.

mod socket;
