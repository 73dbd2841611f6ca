//! Keeps the probes where discovery says that a TLS library is in use, and where the guard does
//! not say that it is none.

use std::path::PathBuf;

use hashbrown::HashMap;
use meshtap_common::TlsProcess;

use super::guard::judge;
use super::{Doubt, TlsProbes};
use crate::capture::tls::discover::{Change, FileKey, Target};
use crate::capture::tls::locate::{Library, Located, Role};

/// Files whose fate is remembered; more than any node runs.
const MAX_FILES: usize = 4096;

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

/// Attaches and detaches.
#[derive(Debug)]
pub struct TlsKeeper {
    probes: TlsProbes,
    files: HashMap<FileKey, File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    pids: Vec<u32>,
    attached: Attached,
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
    /// It is, at functions that were found by what they do: they may be wrong.
    Guessed { sees_handshakes: bool },
}

impl TlsKeeper {
    /// Nothing is attached to yet.
    #[must_use]
    pub fn new(probes: TlsProbes) -> Self {
        Self {
            probes,
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
            Err(refusal) if refusal.is_about_tls() => Err(refusal.to_string()),
            Err(_) => return None,
            Ok(located) if located.of(Role::Read).next().is_none() => {
                Err(format!("{}: not read yet", located.library.name()))
            }
            Ok(located) => match self.probes.attach(key, &file, &located) {
                Ok(()) => Ok(located),
                Err(refused) => Err(refused.to_string()),
            },
        };
        if self.files.len() < MAX_FILES {
            let file = File {
                path: path.clone(),
                pids,
                attached: attached
                    .as_ref()
                    .map_or(Attached::No, |located| Attached::at(located)),
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

    /// Others use a file now. What was seen of those that do not any more is kept.
    fn users(&mut self, key: FileKey, pids: Vec<u32>) {
        let Some(file) = self.files.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut file.pids, pids);
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

    /// Only a file whose functions were found by what they do can be wrong as a whole.
    fn doubt(&self, file: &File) -> Option<Doubt> {
        let Attached::Guessed { sees_handshakes } = file.attached else {
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
            Library::StrippedBoringssl => Self::Guessed {
                sees_handshakes: located.of(Role::Handshake).next().is_some(),
            },
            Library::Exported | Library::Symbols | Library::RustlsAwsLc => Self::Named,
        }
    }
}
