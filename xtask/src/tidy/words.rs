//! Words that have been retired: each thing has one name, in code, documentation, metrics and
//! output.

use super::allowance::{Allowance, Counted};
use super::source::Source;

/// A word or a phrase, and what to say.
struct Retired {
    /// Its forms; the words of a phrase stand apart by spaces.
    forms: &'static [&'static str],
    instead: &'static str,
    /// Words before or after it that make it another thing's name.
    but: &'static [&'static str],
}

const fn retired(forms: &'static [&'static str], instead: &'static str) -> Retired {
    Retired {
        forms,
        instead,
        but: &[],
    }
}

const fn unless(word: Retired, but: &'static [&'static str]) -> Retired {
    Retired { but, ..word }
}

/// Retired everywhere: text, names, strings.
const EVERYWHERE: &[Retired] = &[
    retired(
        &["tell", "tells", "told", "telling", "untold"],
        "emit, export, report, or say",
    ),
    retired(
        &["answer", "answers", "answered", "answering", "unanswered"],
        "response, or respond",
    ),
    // A Kubernetes service account, and the name of a field that holds a secret (`AccountSid`).
    unless(
        retired(
            &["account", "accounts", "accounted", "accounting"],
            "ledger (the equation), totals, or count",
        ),
        &["service", "cpu", "memory", "sid"],
    ),
    retired(
        &["given up", "left out"],
        "dropped, missing, excluded or omitted",
    ),
    unless(
        retired(&["fault", "faults", "faulty"], "error"),
        &["page", "segmentation"],
    ),
    retired(&["oddity", "oddities"], "anomaly"),
    retired(&["kernel side", "kernel sides"], "BPF program, or hook"),
    retired(
        &["piece", "pieces", "stretch", "stretches"],
        "chunk, or range",
    ),
    retired(&["turning point", "turning points"], "quiescent point"),
    unless(
        retired(
            &["credit", "credits", "appetite"],
            "capture window, or demand",
        ),
        &["card", "cards"],
    ),
    // `resume_unwind` of Rust and `response.resume()` of Node are somebody else's names.
    unless(
        retired(
            &["resume", "resumes", "resumed"],
            "resume offset, or continue",
        ),
        &["offset", "offsets", "unwind", "response"],
    ),
    unless(
        retired(
            &["twin", "twins", "mirror", "mirrors", "mirrored"],
            "peer socket, duplicate, or folded",
        ),
        &["port", "package"],
    ),
    retired(&["orphan", "orphans", "orphaned"], "pre-accept segment"),
    retired(&["begun"], "started"),
    // `std::io::sink` is somebody else's name.
    unless(
        retired(
            &["outlet", "outlets", "sink", "sinks"],
            "exporter handle, or exporter",
        ),
        &["io"],
    ),
    retired(
        &[
            "circumstance",
            "circumstances",
            "surrounding",
            "surroundings",
        ],
        "policy context, cluster info, or environment",
    ),
    retired(&["seeker", "seekers"], "rescan trigger"),
    retired(&["bell", "bells"], "eventfd"),
    retired(&["sought"], "pending lookup"),
    retired(&["weigh", "weighs", "weighed"], "size"),
    retired(&["patience"], "timeout"),
    retired(&["news"], "change, or update"),
    retired(&["withheld", "withhold", "withholds"], "omitted"),
    retired(&["plan", "plans"], "runtime configuration"),
    retired(&["facts"], "state"),
    retired(&["joined late", "joins late", "late join"], "mid-stream"),
    retired(
        &["whose socket it is", "whose requests they are"],
        "attribution",
    ),
];

/// Retired as names of items and files; in a sentence they are ordinary English.
const AS_NAMES: &[Retired] = &[
    retired(&["half", "halves"], "direction"),
    retired(&["looks"], "classification"),
    retired(&["question", "questions"], "lookup"),
    retired(&["resolution", "resolutions"], "result"),
    retired(&["turn", "turns"], "quiescent point"),
];

/// Where the words are data, history, or not ours.
const EXCLUDED: &[&str] = &["CHANGELOG.md", "LICENSE", "xtask/src/tidy/words.rs"];

/// Text of ours, by the end of its name.
const PROSE: &[&str] = &[
    "rs", "md", "yaml", "yml", "toml", "sh", "py", "service", "run", "js", "mjs", "css", "html",
    "go", "tpl",
];

/// A word where it should not be.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    line: usize,
    word: String,
    instead: &'static str,
}

/// Reports retired words, and says how many there are.
pub fn check(sources: &[Source], allowances: &[Allowance], findings: &mut Vec<String>) -> String {
    let mut total = 0;
    let mut counted = Counted::new(allowances);
    let everywhere = Index::new(EVERYWHERE);
    let as_names = Index::new(AS_NAMES);
    for source in sources {
        let uses = uses(source, &everywhere, &as_names);
        total += uses.len();
        if counted.covers(&source.path, uses.len()) {
            continue;
        }
        for Use {
            line,
            word,
            instead,
        } in uses
        {
            findings.push(format!(
                "{}:{line}: `{word}` is retired: {instead}",
                source.path
            ));
        }
    }
    counted.finish("retired words", findings);
    format!("retired words: {total}")
}

fn uses(source: &Source, everywhere: &Index, as_names: &Index) -> Vec<Use> {
    let end = source.path.rsplit(['.', '/']).next().unwrap_or_default();
    if EXCLUDED.contains(&source.path.as_str()) || !PROSE.contains(&end) {
        return Vec::new();
    }
    let mut uses = everywhere.uses(&words(&source.text));
    // The name of the file itself stands on line 0.
    let path: Vec<Word<'_>> = words(&source.path);
    let mut names = everywhere.uses(&path);
    names.extend(as_names.uses(&path));
    names.iter_mut().for_each(|found| found.line = 0);
    uses.append(&mut names);
    for item in source.rust.iter().flat_map(|rust| &rust.definitions) {
        let mut of_name = as_names.uses(&words(&item.name));
        of_name.iter_mut().for_each(|found| found.line = item.line);
        uses.append(&mut of_name);
    }
    uses
}

/// A word of a text: a run of letters, cut where capitals start (`KernelSide` and `kernel_side` are
/// two words).
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    line: usize,
    text: &'a str,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let bytes = text.as_bytes();
    let mut words = Vec::with_capacity(bytes.len() / 6);
    let (mut line, mut start) = (1, 0);
    for (at, byte) in bytes.iter().enumerate() {
        let letter = byte.is_ascii_alphabetic();
        let in_word = at > start;
        let capital = byte.is_ascii_uppercase()
            && in_word
            && bytes.get(at - 1).is_some_and(u8::is_ascii_lowercase);
        if in_word && (!letter || capital) {
            words.extend(text.get(start..at).map(|text| Word { line, text }));
        }
        if capital {
            start = at;
        } else if !letter {
            start = at + 1;
        }
        line += usize::from(*byte == b'\n');
    }
    words.extend(
        text.get(start..)
            .filter(|text| !text.is_empty())
            .map(|text| Word { line, text }),
    );
    words
}

/// Forms by their first letter.
struct Index {
    by_letter: [Vec<(Vec<&'static str>, &'static Retired)>; 26],
}

impl Index {
    fn new(list: &'static [Retired]) -> Self {
        let mut by_letter = [const { Vec::new() }; 26];
        for retired in list {
            for form in retired.forms {
                if let Some(forms) = letter(form).and_then(|letter| by_letter.get_mut(letter)) {
                    forms.push((form.split(' ').collect(), retired));
                }
            }
        }
        Self { by_letter }
    }

    fn uses(&self, words: &[Word<'_>]) -> Vec<Use> {
        let mut uses = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let forms = letter(word.text).and_then(|letter| self.by_letter.get(letter));
            for (form, retired) in forms.into_iter().flatten() {
                let end = at + form.len();
                let found = words.get(at..end).is_some_and(|words| {
                    let mut pairs = words.iter().zip(form);
                    pairs.all(|(word, part)| word.text.eq_ignore_ascii_case(part))
                });
                let named = |word: Option<&Word<'_>>| {
                    word.is_some_and(|word| {
                        retired
                            .but
                            .iter()
                            .any(|but| word.text.eq_ignore_ascii_case(but))
                    })
                };
                let before = at.checked_sub(1).and_then(|before| words.get(before));
                if found && !named(before) && !named(words.get(end)) {
                    uses.push(Use {
                        line: word.line,
                        word: form.join(" "),
                        instead: retired.instead,
                    });
                }
            }
        }
        uses
    }
}

fn letter(word: &str) -> Option<usize> {
    let first = word.bytes().next()?.to_ascii_lowercase();
    first.checked_sub(b'a').map(usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines and words, in order.
    #[track_caller]
    fn check_uses(path: &str, text: &str, expected: &[(usize, &str)]) {
        let source = Source::new(path, text.to_owned()).unwrap();
        let uses = uses(&source, &Index::new(EVERYWHERE), &Index::new(AS_NAMES));
        let found: Vec<(usize, &str)> = uses
            .iter()
            .map(|found| (found.line, found.word.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn in_text_and_in_names() {
        check_uses(
            "a.md",
            "It tells\nthe Answer.",
            &[(1, "tells"), (2, "answer")],
        );
        check_uses("a.md", "a storyteller, foretold, default", &[]);
        check_uses(
            "a.rs",
            "struct OpenAnswer; fn read_account() {}",
            &[(1, "answer"), (1, "account")],
        );
        check_uses("a.rs", "const A: &str = \"withheld\";", &[(1, "withheld")]);
        check_uses("agent/src/orphans.rs", "", &[(0, "orphans")]);
        check_uses("a.json", "{\"answer\": 1}", &[]);
        check_uses("a.mjs", "const PATIENCE = 1;", &[(1, "patience")]);
        check_uses("a.mjs", "response.resume();", &[]);
        check_uses("CHANGELOG.md", "answer", &[]);
    }

    #[test]
    fn phrases_are_found_across_lines() {
        check_uses("a.md", "the kernel\nside", &[(1, "kernel side")]);
        check_uses("a.rs", "struct KernelSide;", &[(1, "kernel side")]);
        check_uses("a.md", "the kernel's side", &[]);
    }

    #[test]
    fn names_of_other_things_stay() {
        check_uses("a.yaml", "kind: ServiceAccount\nserviceAccountName: a", &[]);
        check_uses(
            "a.md",
            "the resume offset, a credit card, a page fault",
            &[],
        );
        check_uses("a.md", "resume", &[(1, "resume")]);
    }

    #[test]
    fn ordinary_english_is_retired_as_a_name_only() {
        check_uses("a.md", "It looks at half of it in turn.", &[]);
        check_uses(
            "a.rs",
            "// It looks.\nstruct HalfOpen;\nfn turns() {}",
            &[(2, "half"), (3, "turns")],
        );
        check_uses("agent/src/http/looks.rs", "", &[(0, "looks")]);
    }
}
