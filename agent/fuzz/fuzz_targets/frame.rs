//! Bytes of anything as frames: how they are cut into chunks changes nothing, memory stays bounded,
//! and frames that are found begin within the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtap::http::h2::frame::{
    DEFAULT_MAX_SIZE, Event, Headers, PushPromise, Reader, Settings, find,
};

/// What is read, body bytes joined.
fn read(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut reader = Reader::default();
    let mut emitted = Vec::new();
    for chunk in bytes.chunks(size) {
        reader.push(chunk, &mut |event| match event {
            Event::Frame(header, payload) => {
                emitted.extend(format!("{header:?}").bytes());
                emitted.extend_from_slice(payload);
                let _ = Headers::parse(&header, payload);
                let _ = PushPromise::parse(&header, payload);
                if let Ok(settings) = Settings::parse(&header, payload) {
                    assert!(settings.iter().count() <= payload.len() / 6);
                }
            }
            Event::Bytes(bytes) => emitted.extend_from_slice(bytes),
            other => emitted.extend(format!("{other:?}").bytes()),
        });
        assert!(reader.memory() <= 64 * 1024);
    }
    emitted
}

fuzz_target!(|data: &[u8]| {
    let [size, bytes @ ..] = data else { return };
    let whole = read(bytes, bytes.len().max(1));
    assert!(read(bytes, usize::from(*size).max(1)) == whole);
    if let Some(at) = find(bytes, DEFAULT_MAX_SIZE, u32::from(*size)) {
        assert!(at < bytes.len());
    }
    // Missing bytes, at any place.
    let mut reader = Reader::default();
    for chunk in bytes.chunks(usize::from(*size).max(1)) {
        reader.push(chunk, &mut |_| ());
        if !reader.miss(u64::from(chunk[0]), &mut |_| ()) {
            reader = Reader::default();
        }
    }
});
