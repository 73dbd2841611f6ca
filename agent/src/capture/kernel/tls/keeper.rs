//! Keeps the probes where discovery says that a TLS library is in use, and where the guard does
//! not say that it is none.

use std::path::PathBuf;

use hashbrown::HashMap;
use meshtap_common::TlsProcess;

use super::guard::judge;
use super::{Doubt, TlsProbes};
use crate::capture::tls::discover::{Change, FileKey, Target};
use crate::capture::tls::locate::{Library, Located, Refusal, Role};

/// Files whose fate is remembered; more than any node runs.
const MAX_FILES: usize = 4096;

/// Why what ztunnel has is not read.
const UNWANTED_RUSTLS: &str = "rustls over aws-lc: left alone unless ztunnel is asked for";

/// What has become of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its path, as its first user sees it.
    pub path: PathBuf,
    /// What was done, or why not.
    pub state: TargetState,
}

/// Whether plaintext of a file's functions is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// It is: located this way, in use by so many processes.
    Attached(&'static str, usize),
    /// It holds a TLS library that is not read.
    Refused(String),
    /// Its last user is gone.
    Gone,
    /// It was attached to, and looked wrong.
    Doubted(Doubt),
}

/// Which libraries are attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// OpenSSL and BoringSSL.
    pub ssl: bool,
    /// rustls over aws-lc.
    pub rustls: bool,
    /// The BPF programs are loaded with the first file that has such a library, not at the start,
    /// which takes the kernel a good part of a second: then a refusal is that file's.
    pub when_needed: bool,
}

impl Libraries {
    /// Any of them.
    #[must_use]
    pub const fn any(self) -> bool {
        self.ssl || self.rustls
    }

    const fn has(self, library: Library) -> bool {
        match library {
            Library::RustlsAwsLc => self.rustls,
            Library::Exported | Library::Symbols | Library::StrippedBoringssl => self.ssl,
        }
    }

    /// Whether it is of interest that a library is not read for this reason.
    const fn miss(self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::RustlsRing | Refusal::RustlsStripped => true,
            other => self.ssl && other.is_about_tls(),
        }
    }
}

/// Attaches and detaches.
#[derive(Debug)]
pub struct TlsKeeper {
    probes: TlsProbes,
    libraries: Libraries,
    files: HashMap<FileKey, File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    pids: Vec<u32>,
    attached: Attached,
    library: Option<Library>,
    /// What was seen of processes that used it and have gone.
    past: TlsProcess,
}

/// Whether a file is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attached {
    /// It is not.
    No,
    /// It is, at functions that have the names.
    Named,
    /// It is, at functions that may be wrong, as they were found by what they do, or that are of
    /// use for other things than HTTP as well.
    Judged { sees_handshakes: bool },
}

impl TlsKeeper {
    /// Nothing is attached to yet.
    #[must_use]
    pub fn new(probes: TlsProbes, libraries: Libraries) -> Self {
        Self {
            probes,
            libraries,
            files: HashMap::new(),
        }
    }

    /// Acts on a change. `None`: there is nothing to report.
    pub fn apply(&mut self, change: Change) -> Option<Notice> {
        match change {
            Change::Added(target) => self.add(target),
            Change::Users(key, pids) => {
                self.users(key, pids);
                None
            }
            Change::Removed(key) => {
                self.users(key, Vec::new());
                self.probes.detach(key);
                let file = self.files.remove(&key)?;
                (file.attached != Attached::No).then_some(Notice {
                    path: file.path,
                    state: TargetState::Gone,
                })
            }
        }
    }

    fn add(&mut self, target: Target) -> Option<Notice> {
        let Target {
            key,
            path,
            file,
            functions,
            pids,
        } = target;
        let users = pids.len();
        let attached = match functions {
            Err(refusal) if self.libraries.miss(refusal) => Err(refusal.to_string()),
            Err(_) => return None,
            Ok(located) if !self.libraries.has(located.library) => match located.library {
                Library::RustlsAwsLc => Err(UNWANTED_RUSTLS.to_owned()),
                _ => return None,
            },
            Ok(located) => match self.probes.attach(key, &file, &located) {
                Ok(()) => Ok(located),
                Err(refused) => Err(refused.to_string()),
            },
        };
        if let Ok(located) = &attached {
            self.follow(located.library, &pids);
        }
        if self.files.len() < MAX_FILES {
            let file = File {
                path: path.clone(),
                pids,
                attached: attached
                    .as_ref()
                    .map_or(Attached::No, |located| Attached::at(located)),
                library: attached.as_ref().ok().map(|located| located.library),
                past: TlsProcess::default(),
            };
            self.files.insert(key, file);
        }
        let state = match attached {
            Ok(located) => TargetState::Attached(located.library.name(), users),
            Err(reason) => TargetState::Refused(reason),
        };
        Some(Notice { path, state })
    }

    /// What threads receive says whose the records of rustls are.
    fn follow(&mut self, library: Library, pids: &[u32]) {
        if library == Library::RustlsAwsLc {
            for pid in pids {
                self.probes.follow(*pid);
            }
        }
    }

    /// Others use a file now. What was seen of those that do not any more is kept.
    fn users(&mut self, key: FileKey, pids: Vec<u32>) {
        let Some(file) = self.files.get_mut(&key) else {
            return;
        };
        let library = file.library;
        let before = std::mem::replace(&mut file.pids, pids.clone());
        if let Some(library) = library {
            self.follow(library, &pids);
        }
        for pid in before {
            let file_of = |file: &File| file.pids.contains(&pid);
            if !self.files.values().any(file_of)
                && let Some(file) = self.files.get_mut(&key)
            {
                file.past = file.past.and(self.probes.take_seen(pid));
            }
        }
    }

    /// Detaches from what looks wrong.
    pub fn guard(&mut self) -> Vec<Notice> {
        let doubted: Vec<_> = self
            .files
            .iter()
            .filter_map(|(key, file)| Some((*key, self.doubt(file)?)))
            .collect();
        let notice = |(key, doubt)| {
            self.probes.detach(key);
            let file = self.files.get_mut(&key)?;
            file.attached = Attached::No;
            Some(Notice {
                path: file.path.clone(),
                state: TargetState::Doubted(doubt),
            })
        };
        doubted.into_iter().filter_map(notice).collect()
    }

    /// A file whose functions are known by their names, and for what they do, is not wrong.
    fn doubt(&self, file: &File) -> Option<Doubt> {
        let Attached::Judged { sees_handshakes } = file.attached else {
            return None;
        };
        let is_alone = |pid: &&u32| {
            let uses = |file: &&File| file.attached != Attached::No && file.pids.contains(pid);
            // Else nothing says which of the files it used.
            self.files.values().filter(uses).count() == 1
        };
        let users = file.pids.iter().filter(is_alone);
        let seen = users.fold(file.past, |seen, pid| seen.and(self.probes.seen(*pid)));
        judge(&seen, sees_handshakes)
    }

    /// Files that are attached to.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.probes.files()
    }
}

impl Attached {
    fn at(located: &Located) -> Self {
        match located.library {
            Library::StrippedBoringssl => Self::Judged {
                sees_handshakes: located.of(Role::Handshake).next().is_some(),
            },
            Library::RustlsAwsLc => Self::Judged {
                sees_handshakes: true,
            },
            Library::Exported | Library::Symbols => Self::Named,
        }
    }
}
