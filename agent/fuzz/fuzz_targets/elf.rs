//! ELF files of anything: locating ends, reads within bounds, says the same twice, and gives no
//! offset that is not in the file's code.

#![no_main]

use std::cell::Cell;
use std::io;

use libfuzzer_sys::fuzz_target;
use meshtap::capture::tls::locate::{ReadAt, locate_in, locate_without_symbols};

/// Times that a file is read in whole, at most: headers and constants are read more than once, code
/// for each function.
const MOST_PASSES: u64 = 512;

/// Reads that may go beyond that: of headers, in files of a few bytes.
const SMALL: u64 = 1 << 20;

/// Bytes that count how much of them is read.
struct Counted<'a> {
    bytes: &'a [u8],
    read: Cell<u64>,
}

impl ReadAt for Counted<'_> {
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.set(self.read.get() + buffer.len() as u64);
        self.bytes.read_at(buffer, offset)
    }
}

fuzz_target!(|data: &[u8]| {
    let counted = Counted {
        bytes: data,
        read: Cell::new(0),
    };
    let size = data.len() as u64;
    for locate in [locate_in, locate_without_symbols] {
        counted.read.set(0);
        let found = locate(&counted);
        assert!(counted.read.get() <= SMALL + MOST_PASSES * size);
        assert_eq!(found, locate(&data));
        let Ok(found) = found else { continue };
        for function in &found.functions {
            assert!(function.entry < size, "{function:?}");
        }
    }
});
