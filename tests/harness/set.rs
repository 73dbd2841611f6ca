//! Flags that one thread sets for another.

use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it goes, also when the test fails before.
#[derive(Debug)]
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
