//! The functions that report errors of libssl's main source file, with reasons and lines.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use super::super::{Doubt, Machine, Refusal};
use super::image::Image;
use super::insn::Op;
use super::interpret::{Interpreter, Target};
use super::ranges::{Range, Ranges};
use super::scan::{self, Called};
use super::{LIBRARY, reason};

/// Functions that name the file: Envoy has 24, the whole of `ssl_lib.cc` about a hundred.
const MAX_FUNCTIONS: usize = 2048;
/// Chunks of code that the compiler moved out of functions have at most this size.
const MAX_OUTLINED: u64 = 64;

/// A reason, and the line that reports it.
pub(super) type Report = (u64, u64);

/// Functions by their start, with what they report.
pub(super) struct Sites {
    pub(super) functions: BTreeMap<u64, (Range, BTreeSet<Report>)>,
    /// Code that is a part of other functions.
    pub(super) parts: BTreeSet<u64>,
}

/// The functions that refer to the file's name.
pub(super) fn referring(
    image: &Image,
    ranges: &mut Ranges,
    called: &Called,
    files: &[u64],
) -> BTreeSet<Range> {
    scan::references(image, files)
        .into_iter()
        .filter_map(|at| ranges.of_address(at).or_else(|| ranges.add_gap(at, called)))
        .collect()
}

/// The name of the file, where the program holds it as another text: the one constant with which
/// all of libssl's typical errors are reported.
pub(super) fn file_of_seeds(interpreter: &mut Interpreter<'_>) -> Result<u64, Refusal> {
    let mut reasons: BTreeMap<(u64, Target), BTreeSet<u64>> = BTreeMap::new();
    for range in seeds(interpreter) {
        for site in interpreter.summary(range).sites {
            if site.library == LIBRARY {
                let key = (site.file, site.target);
                reasons.entry(key).or_default().insert(site.reason);
            }
        }
    }
    let mut files = reasons.into_iter().filter(|(_, reasons)| {
        [
            reason::UNINITIALIZED,
            reason::SSL_HANDSHAKE_FAILURE,
            reason::CONNECTION_TYPE_NOT_SET,
        ]
        .iter()
        .all(|reason| reasons.contains(reason))
    });
    match (files.next(), files.next()) {
        (Some(((file, _), _)), None) => Ok(file),
        (None, _) => Err(Refusal::Doubtful(Doubt::Sites)),
        (Some(_), Some(_)) => Err(Refusal::Doubtful(Doubt::File)),
    }
}

/// The functions that hold the library's number and a typical reason as arguments.
fn seeds(interpreter: &Interpreter<'_>) -> BTreeSet<Range> {
    let reasons = [
        reason::UNINITIALIZED,
        reason::SSL_HANDSHAKE_FAILURE,
        reason::CONNECTION_TYPE_NOT_SET,
        reason::APPLICATION_DATA_ON_SHUTDOWN,
    ];
    let argument = |register: u8, value: u64| -> Vec<u8> {
        let value = u32::try_from(value).unwrap_or(0);
        match interpreter.image.machine {
            // mov of a constant to edi or edx
            Machine::X86_64 => std::iter::once(if register == 0 { 0xbf } else { 0xba })
                .chain(value.to_le_bytes())
                .collect(),
            // movz
            Machine::Aarch64 => {
                let word = 0x5280_0000 | value << 5 | u32::from(register);
                word.to_le_bytes().to_vec()
            }
        }
    };
    let with = |needle: Vec<u8>| -> BTreeSet<Range> {
        scan::places(interpreter.image, &needle)
            .into_iter()
            .filter_map(|at| interpreter.ranges.of_address(at))
            .collect()
    };
    let library = with(argument(0, LIBRARY));
    let typical = reasons
        .into_iter()
        .flat_map(|reason| with(argument(2, reason)));
    typical
        .filter(|range| library.contains(range))
        .take(MAX_FUNCTIONS)
        .collect()
}

impl Sites {
    pub(super) fn of(
        interpreter: &mut Interpreter<'_>,
        mut functions: BTreeSet<Range>,
    ) -> Result<Self, Refusal> {
        if functions.len() > MAX_FUNCTIONS {
            return Err(Refusal::Doubtful(Doubt::Effort));
        }
        follow_outlined(interpreter, &mut functions);
        let unlikely: Vec<Range> = functions
            .iter()
            .filter(|range| {
                !interpreter.called.contains(range.start) && range.start != interpreter.image.entry
            })
            .copied()
            .collect();
        functions.extend(sources(interpreter, &unlikely));

        let put_error = put_error(interpreter, &functions)?;
        let mut sites = Self {
            functions: BTreeMap::new(),
            parts: BTreeSet::new(),
        };
        for range in functions {
            if interpreter.outlined.contains(&range.start) {
                continue;
            }
            let summary = interpreter.summary(range);
            if summary.is_cut {
                return Err(Refusal::Doubtful(Doubt::Effort));
            }
            let reports: BTreeSet<Report> = summary
                .sites
                .iter()
                .filter(|site| site.library == LIBRARY && site.target == put_error)
                .filter_map(|site| Some((site.reason, site.line.filter(|line| *line > 0)?)))
                .collect();
            if !reports.is_empty() {
                sites.functions.insert(range.start, (range, reports));
            }
        }
        sites.parts = sites.find_parts(interpreter);
        Ok(sites)
    }

    /// Code that nobody calls, whose reports are all those of a function that jumps into it.
    fn find_parts(&self, interpreter: &Interpreter<'_>) -> BTreeSet<u64> {
        let is_part = |(start, (range, reports)): &(&u64, &(Range, BTreeSet<Report>))| {
            !interpreter.called.contains(**start)
                && self.functions.iter().any(|(other, (whole, all))| {
                    other != *start
                        && reports.is_subset(all)
                        && interpreter.listing(*whole).any(|(_, insn)| match insn.op {
                            Op::Jump(target) | Op::Branch(target) => range.contains(target),
                            _ => false,
                        })
                })
        };
        let parts = self.functions.iter().filter(is_part);
        parts.map(|(start, _)| *start).collect()
    }

    /// The functions, without parts of others, that report this.
    pub(super) fn with(&self, report: Report) -> Vec<Range> {
        self.matching(|found| *found == report)
    }

    /// The functions that report this reason at some line.
    pub(super) fn with_reason(&self, reason: u64) -> Vec<Range> {
        self.matching(|(found, _)| *found == reason)
    }

    fn matching(&self, matches: impl Fn(&Report) -> bool) -> Vec<Range> {
        self.functions
            .iter()
            .filter(|(start, (_, reports))| {
                !self.parts.contains(*start) && reports.iter().any(&matches)
            })
            .map(|(_, (range, _))| *range)
            .collect()
    }

    /// What a function reports.
    pub(super) fn reports(&self, range: Range) -> impl Iterator<Item = Report> {
        let reports = self.functions.get(&range.start);
        reports
            .into_iter()
            .flat_map(|(_, reports)| reports.iter().copied())
    }

    /// The lines at which a reason is reported, in ascending order.
    pub(super) fn lines(&self, reason: u64) -> BTreeSet<u64> {
        let all = self.functions.values().flat_map(|(_, reports)| reports);
        all.filter(|(found, _)| *found == reason)
            .map(|(_, line)| *line)
            .collect()
    }
}

/// Small functions that name the file and report nothing by themselves are tails that the compiler
/// moved out of several functions: those are followed again, with the tails where they are called.
fn follow_outlined(interpreter: &mut Interpreter<'_>, functions: &mut BTreeSet<Range>) {
    let outlined: HashSet<Range> = functions
        .iter()
        .filter(|range| {
            range.size() <= MAX_OUTLINED
                && interpreter.called.contains(range.start)
                && interpreter.summary(**range).sites.is_empty()
        })
        .copied()
        .collect();
    if outlined.is_empty() {
        return;
    }
    interpreter.outline(outlined.iter().map(|range| range.start));
    let starts: HashSet<u64> = outlined.iter().map(|range| range.start).collect();
    functions.extend(callers(interpreter, &starts));
    let entries: Vec<Range> = starts
        .iter()
        .map(|start| Range {
            start: *start,
            end: *start + 1,
        })
        .collect();
    functions.extend(sources(interpreter, &entries));
}

/// The functions that call one of the addresses.
pub(super) fn callers(interpreter: &Interpreter<'_>, targets: &HashSet<u64>) -> BTreeSet<Range> {
    let mut found = BTreeSet::new();
    if targets.is_empty() {
        return found;
    }
    scan::calls(interpreter.image, |at, target| {
        if found.len() < MAX_FUNCTIONS && targets.contains(&target) {
            found.extend(interpreter.ranges.of_address(at));
        }
    });
    found
}

/// The functions that jump into one of the ranges from outside.
fn sources(interpreter: &Interpreter<'_>, ranges: &[Range]) -> BTreeSet<Range> {
    if ranges.is_empty() {
        return BTreeSet::new();
    }
    scan::jumps_into(interpreter.image, ranges)
        .into_iter()
        .filter_map(|at| interpreter.ranges.of_address(at))
        .filter(|range| !ranges.contains(range))
        .collect()
}

/// `ERR_put_error`: what is called at nine of ten places at least.
fn put_error(
    interpreter: &mut Interpreter<'_>,
    functions: &BTreeSet<Range>,
) -> Result<Target, Refusal> {
    let mut votes: BTreeMap<Target, usize> = BTreeMap::new();
    for range in functions {
        for site in interpreter.summary(*range).sites {
            if site.library == LIBRARY {
                *votes.entry(site.target).or_default() += 1;
            }
        }
    }
    let all: usize = votes.values().sum();
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    match most {
        Some((target, count)) if count * 10 >= all * 9 => Ok(target),
        Some(_) => Err(Refusal::Doubtful(Doubt::PutError)),
        None => Err(Refusal::Doubtful(Doubt::Sites)),
    }
}
