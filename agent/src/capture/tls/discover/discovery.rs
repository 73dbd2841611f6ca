//! The processes and files that are known, and what changes with each scan.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use super::super::locate::{Cache, Refusal};
use super::consent::{Candidate, Consent, Everyone, Programs, Verdict, program};
use super::maps::{Mapped, MappedFile, executable};
use super::open::open;
use super::process::{self, Process};
use super::target::{Change, FileKey, Target};

/// Everything that is known. A scan reads `/proc`: keep it off the data path.
pub struct Discovery {
    programs: Programs,
    consent: Box<dyn Consent>,
    cache: Cache,
    processes: BTreeMap<u32, Process>,
    /// Of files that some process has mapped: whether they hold a TLS library.
    files: HashMap<MappedFile, Option<FileKey>>,
    /// Of files that hold one: without users for now, or reported.
    targets: HashMap<FileKey, Known>,
    totals: Totals,
    /// The file name of the agent's program.
    own: Option<String>,
    /// The process at which the next scan begins.
    next: u32,
}

impl Default for Discovery {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery")
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

/// A target, and whether it has been reported.
struct Known {
    target: Target,
    is_reported: bool,
    /// When its functions were located.
    version: Option<Version>,
    /// The cgroup of the first process that was seen to use it.
    cgroup: String,
}

/// Size, and time of the last change.
type Version = (u64, i64, i64);

/// Files with a TLS library at a time, and those that processes of one cgroup bring: each takes
/// some twenty descriptors, and memory of the kernel. Programs of one image share theirs.
const MAX_TARGETS: usize = 512;
pub(super) const MAX_PER_CGROUP: usize = 64;

/// Longest that a scan looks at processes; those that are left come first in the next. Who has many
/// of them, with many files, does not keep those of others from being looked at.
const LONGEST_SCAN: Duration = Duration::from_secs(2);

/// What discovery could and could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Processes that are known now.
    pub processes: usize,
    /// Those of them that may not be read, by a rule or an annotation.
    pub excluded: usize,
    /// Those of them whose pods are not known yet.
    pub unknown: usize,
    /// Times that a process could not be looked into for want of rights (CAP_SYS_PTRACE).
    pub forbidden: u64,
    /// Times that a file was gone, or not readable, before it was looked into.
    pub unreadable: u64,
}

impl Discovery {
    /// Of all processes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_rules(Programs::default(), Box::new(Everyone))
    }

    /// Of the processes that may be read.
    #[must_use]
    pub fn with_rules(programs: Programs, consent: Box<dyn Consent>) -> Self {
        Self {
            programs,
            consent,
            cache: Cache::default(),
            processes: BTreeMap::new(),
            files: HashMap::new(),
            targets: HashMap::new(),
            totals: Totals::default(),
            own: fs::read_link("/proc/self/exe")
                .ok()
                .map(|path| program(&path)),
            next: 0,
        }
    }

    /// What discovery could and could not do.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Looks at new processes, and again at some that are known. Reports what has changed; nothing
    /// where `/proc` cannot be listed. Meant to be called about once a second.
    pub fn poll(&mut self) -> Vec<Change> {
        self.scan_within(LONGEST_SCAN, Instant::now())
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "processes cannot be listed");
                Vec::new()
            })
    }

    /// Looks at every process once, as far as that is done in time: a poll by itself is bounded.
    pub fn poll_all(&mut self, within: Duration) -> Vec<Change> {
        let start = Instant::now();
        let mut changes = self.poll();
        while self.next != 0 && start.elapsed() < within {
            changes.extend(self.poll());
        }
        changes
    }

    pub(super) fn scan_within(
        &mut self,
        longest: Duration,
        now: Instant,
    ) -> io::Result<Vec<Change>> {
        let pids: BTreeSet<u32> = process::all()?.into_iter().collect();
        let before = self.processes.len();
        self.processes.retain(|pid, _| pids.contains(pid));
        let mut has_changed = before != self.processes.len();
        let mut changes = self.forget_changed(now);
        let start = Instant::now();
        let next = std::mem::take(&mut self.next);
        for pid in pids.range(next..).chain(pids.range(..next)) {
            if start.elapsed() > longest {
                self.next = *pid;
                break;
            }
            // The agent does not capture itself.
            if *pid != std::process::id() {
                has_changed |= self.look(*pid, now);
            }
        }
        if has_changed {
            self.forget_files();
        }
        self.totals.processes = self.processes.len();
        let count = |verdict| {
            let verdicts = self.processes.values().map(|process| process.verdict);
            verdicts.filter(|one| *one == verdict).count()
        };
        (self.totals.excluded, self.totals.unknown) =
            (count(Verdict::Excluded), count(Verdict::Unknown));
        changes.extend(self.changes());
        Ok(changes)
    }

    /// Looks at a process when it is due. Whether it uses other files than before.
    fn look(&mut self, pid: u32, now: Instant) -> bool {
        self.ask_again(pid, now);
        let known = self.processes.get(&pid);
        if known.is_some_and(|process| !process.is_due(now)) {
            return false;
        }
        match self.read(pid, now) {
            Ok(has_changed) => has_changed,
            Err(error) => {
                // Kernel threads have no program; what has ended meanwhile is no loss.
                if error.kind() == io::ErrorKind::PermissionDenied {
                    self.totals.forbidden += 1;
                }
                self.processes.remove(&pid).is_some()
            }
        }
    }

    /// Verdicts change: a pod becomes known, an annotation is set. That matters at once where a
    /// library is read, or might be.
    fn ask_again(&mut self, pid: u32, now: Instant) {
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        if process.keys.is_empty() && process.verdict == Verdict::Admitted {
            return;
        }
        let verdict = verdict(&self.programs, &*self.consent, &process.candidate);
        if verdict != process.verdict {
            process.verdict = verdict;
            process.hurry(now);
        }
    }

    /// Reads what a process has mapped. Whether that has changed.
    fn read(&mut self, pid: u32, now: Instant) -> io::Result<bool> {
        let started = process::started(pid)?;
        let candidate = process::candidate(pid)?;
        let is_same = self
            .processes
            .get(&pid)
            .is_some_and(|known| known.started == started && known.candidate == candidate);
        if !is_same {
            // Another process, or another program in it.
            let new = Process::new(started, candidate, now);
            self.processes.insert(pid, new);
        }
        let mapped = executable(&fs::read(format!("/proc/{pid}/maps"))?);
        let Some(process) = self.processes.get_mut(&pid) else {
            return Ok(false);
        };
        process.looked(now);
        process.verdict = verdict(&self.programs, &*self.consent, &process.candidate);
        let files: Vec<MappedFile> = mapped.iter().map(|mapped| mapped.file).collect();
        let has_changed = !is_same || files != process.files;
        process.files = files;
        if process.verdict == Verdict::Admitted {
            let keys = mapped
                .iter()
                .filter_map(|mapped| self.key(pid, mapped))
                .collect();
            if let Some(process) = self.processes.get_mut(&pid) {
                process.keys = keys;
            }
        }
        Ok(has_changed)
    }

    /// The target that a mapped file is, if it holds a TLS library.
    fn key(&mut self, pid: u32, mapped: &Mapped) -> Option<FileKey> {
        if let Some(known) = self.files.get(&mapped.file) {
            return *known;
        }
        let cgroup = &self.processes.get(&pid)?.candidate.cgroup;
        if self.has_enough_of(cgroup) {
            return None;
        }
        let cgroup = cgroup.clone();
        let Ok((file, key)) = open(pid, mapped) else {
            self.totals.unreadable += 1;
            return None;
        };
        if self.targets.contains_key(&key) {
            // Through another mount.
            self.files.insert(mapped.file, Some(key));
            return Some(key);
        }
        // Before it is read: what changes meanwhile is noticed.
        let version = version(&file);
        let functions = self.cache.locate(&file);
        match functions {
            // It is looked into again with the process.
            Err(Refusal::Unreadable(_)) => {
                self.totals.unreadable += 1;
                return None;
            }
            // Nobody misses the plaintext of agents, whatever their version.
            Err(refusal) if !refusal.is_about_tls() || self.is_own(mapped) => {
                self.files.insert(mapped.file, None);
                return None;
            }
            _ => {}
        }
        self.files.insert(mapped.file, Some(key));
        self.targets.entry(key).or_insert_with(|| Known {
            target: Target {
                key,
                path: mapped.path.clone(),
                file: Arc::new(file),
                functions,
                pids: Vec::new(),
            },
            is_reported: false,
            version,
            cgroup,
        });
        Some(key)
    }

    /// No further file is taken, of processes in this cgroup.
    fn has_enough_of(&self, cgroup: &str) -> bool {
        let of = |known: &&Known| known.cgroup == cgroup;
        self.targets.len() >= MAX_TARGETS
            || self.targets.values().filter(of).count() >= MAX_PER_CGROUP
    }

    /// Forgets files that were written to: a probe would be in the middle of what is there now.
    /// They are looked into again with their processes.
    fn forget_changed(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let changed = self
            .targets
            .extract_if(|_, known| version(&known.target.file) != known.version);
        for (key, known) in changed {
            if known.is_reported {
                changes.push(Change::Removed(key));
            }
            self.files.retain(|_, file| *file != Some(key));
            let users = self.processes.values_mut();
            for process in users.filter(|process| process.keys.contains(&key)) {
                process.hurry(now);
            }
        }
        changes
    }

    /// It is an agent's program, by its name.
    fn is_own(&self, mapped: &Mapped) -> bool {
        self.own.as_deref() == Some(&*program(&mapped.path))
    }

    /// Forgets files that nobody has mapped: their inodes may become those of other files.
    fn forget_files(&mut self) {
        let mapped: HashSet<MappedFile> = self
            .processes
            .values()
            .flat_map(|process| process.files.iter().copied())
            .collect();
        self.files.retain(|file, _| mapped.contains(file));
    }

    /// Compares who uses what with what was reported.
    fn changes(&mut self) -> Vec<Change> {
        let mut users: HashMap<FileKey, Vec<u32>> = HashMap::new();
        for (pid, process) in &self.processes {
            if process.verdict == Verdict::Admitted {
                for key in &process.keys {
                    let users = users.entry(*key).or_default();
                    if users.last() != Some(pid) {
                        users.push(*pid);
                    }
                }
            }
        }
        let mut changes = Vec::new();
        let in_use: HashSet<FileKey> = self.files.values().flatten().copied().collect();
        self.targets.retain(|key, known| {
            let users = users.remove(key).unwrap_or_default();
            let has_changed = known.target.pids != users;
            known.target.pids = users;
            match (known.is_reported, known.target.pids.is_empty()) {
                (true, true) => {
                    known.is_reported = false;
                    changes.push(Change::Removed(*key));
                }
                (false, false) => {
                    known.is_reported = true;
                    changes.push(Change::Added(known.target.clone()));
                }
                (true, false) if has_changed => {
                    changes.push(Change::Users(*key, known.target.pids.clone()));
                }
                _ => {}
            }
            known.is_reported || in_use.contains(key)
        });
        changes
    }
}

fn version(file: &fs::File) -> Option<Version> {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn verdict(programs: &Programs, consent: &dyn Consent, candidate: &Candidate) -> Verdict {
    match programs.admit(&candidate.program) {
        true => consent.verdict(candidate),
        false => Verdict::Excluded,
    }
}
