//! Attaching and detaching while programs run.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use meshtap::capture::kernel::{Capture, CaptureOptions, TlsLibraries};
use meshtap::capture::tls::discover::FileKey;
use meshtap::capture::tls::locate::locate;
use meshtap_tests::{SetOnDrop, figure, live};

use crate::bench::{Certificate, TLS_PORT, load, nginx};

/// The kernel waits at each probe that goes until no processor is in it: half a second for a cycle
/// on a busy machine. `MESHTAP_CYCLES` asks for more.
const CYCLES: u32 = 50;
const KEY: FileKey = FileKey {
    device: 0,
    inode: 0,
    version: 0,
};

/// The library that nginx has loaded.
fn libssl(pid: u32) -> File {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
    let line = maps
        .lines()
        .find(|line| line.contains("libssl.so"))
        .expect("a libssl");
    let path = line.split_whitespace().last().expect("a path");
    File::open(path).expect("libssl")
}

/// No request fails, whatever the moment. [`load`] says so.
#[test]
fn cycles_under_load() {
    let cycles = std::env::var("MESHTAP_CYCLES").ok();
    let cycles = cycles.map_or(CYCLES, |text| text.parse().expect("a number"));
    live(|bench| {
        let certificate = Certificate::make(bench);
        let nginx = nginx(bench, &certificate);
        let file = libssl(nginx.daemon.pid());
        let located = locate(&file).expect("located");
        let options = CaptureOptions {
            cgroup: Some(bench.cgroup.path().to_owned()),
            tls: TlsLibraries {
                ssl: true,
                ..TlsLibraries::default()
            },
            ..CaptureOptions::default()
        };
        let mut capture = Capture::start(&options).expect("capture");
        let mut probes = capture.take_tls().expect("the TLS hook");
        let is_over = AtomicBool::new(false);
        let loads = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut loads = 0;
                while !is_over.load(Ordering::Relaxed) {
                    load(bench, TLS_PORT, true, 1);
                    load(bench, TLS_PORT, false, 10);
                    loads += 2;
                }
                loads
            });
            let over = SetOnDrop(&is_over);
            let start = Instant::now();
            for _ in 0..cycles {
                probes.attach(KEY, &file, &located).expect("attached");
                probes.detach(KEY);
            }
            let each = start.elapsed() / cycles;
            drop(over);
            assert_eq!(probes.files(), 0);
            figure(&format!("{cycles} cycles, {each:?} each"));
            load.join().expect("no request fails")
        });
        figure(&format!("{loads} loads meanwhile"));
        assert!(loads > 0);
    });
}
