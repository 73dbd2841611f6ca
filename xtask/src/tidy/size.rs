//! How long files and functions may be.

use super::source::Source;

/// Past this, a file does a second thing: look for it.
const MAX_LINES: usize = 399;

/// Past this, a function does a second thing: look for it.
const MAX_FUNCTION: usize = 60;

/// A function that may be longer.
#[derive(Clone, Copy, Debug)]
pub struct LongFunction {
    pub path: &'static str,
    pub name: &'static str,
    /// Why it is not two.
    pub reason: &'static str,
}

/// A file that may be longer.
#[derive(Clone, Copy, Debug)]
pub struct LongFile {
    pub path: &'static str,
    /// Why it is not two.
    pub reason: &'static str,
}

/// What may be longer.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub files: &'static [LongFile],
    pub functions: &'static [LongFunction],
}

/// Reports a file that is too long before its tests, and functions that are too long.
pub fn check(source: &Source, known: Known, findings: &mut Vec<String>) {
    let Some(rust) = source.rust.as_ref().filter(|_| !source.is_tests()) else {
        return;
    };
    let path = source.path.as_str();
    let excepted = known.files.iter().any(|long| long.path == path);
    if rust.lines > MAX_LINES && !excepted {
        findings.push(format!(
            "{path}: {} lines before its tests, at most {MAX_LINES}",
            rust.lines
        ));
    }
    for function in rust.functions.iter().filter(|function| !function.test) {
        let excepted = known
            .functions
            .iter()
            .any(|long| long.path == path && long.name == function.name);
        if function.lines > MAX_FUNCTION && !excepted {
            findings.push(format!(
                "{path}:{}: `{}` has {} lines, at most {MAX_FUNCTION}",
                function.line, function.name, function.lines
            ));
        }
    }
}

/// Reports exceptions that are none any more: the list only shrinks.
pub fn check_exceptions(sources: &[Source], known: Known, findings: &mut Vec<String>) {
    for long in known.files {
        let mut same = sources.iter().filter(|source| source.path == long.path);
        let lines = same.find_map(|source| Some(source.rust.as_ref()?.lines));
        if lines.is_none_or(|lines| lines <= MAX_LINES) {
            findings.push(format!(
                "tidy/exceptions.rs: {} is short or gone; take the exception out ({})",
                long.path, long.reason
            ));
        }
    }
    for long in known.functions {
        let functions = sources
            .iter()
            .filter(|source| source.path == long.path)
            .flat_map(|source| source.rust.iter().flat_map(|rust| &rust.functions));
        let mut same_name = functions.filter(|function| function.name == long.name);
        if !same_name.any(|function| function.lines > MAX_FUNCTION) {
            findings.push(format!(
                "tidy/exceptions.rs: `{}` in {} is short or gone; take the exception out ({})",
                long.name, long.path, long.reason
            ));
        }
    }
}

/// The largest file and function that the rules look at.
pub fn largest(sources: &[Source]) -> String {
    let bounded = || {
        let bounded = sources.iter().filter(|source| !source.is_tests());
        bounded.filter_map(|source| Some((source.path.as_str(), source.rust.as_ref()?)))
    };
    let file = bounded().max_by_key(|(_, rust)| rust.lines);
    let functions = bounded().flat_map(|(path, rust)| {
        let functions = rust.functions.iter().filter(|function| !function.test);
        functions.map(move |function| (path, function))
    });
    let function = functions.max_by_key(|(_, function)| function.lines);
    let file = file.map(|(path, rust)| format!("{path}, {} lines before its tests", rust.lines));
    let function = function
        .map(|(path, function)| format!("`{}` in {path}, {} lines", function.name, function.lines));
    format!(
        "largest file: {}; largest function: {}",
        file.unwrap_or_default(),
        function.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Known = Known {
        files: &[],
        functions: &[],
    };

    /// `expected` is a part of the one finding, or empty when there is none.
    #[track_caller]
    fn check_one(path: &str, text: &str, known: Known, expected: &str) {
        let source = Source::new(path, text.to_owned()).unwrap();
        let mut findings = Vec::new();
        check(&source, known, &mut findings);
        check_exceptions(&[source], known, &mut findings);
        assert_eq!(
            findings.len(),
            usize::from(!expected.is_empty()),
            "{path}: {findings:?}"
        );
        assert!(
            findings.iter().all(|finding| finding.contains(expected)),
            "{findings:?}"
        );
    }

    #[test]
    fn files_are_short_before_their_tests() {
        let lines = |n: usize| "fn a() {}\n".repeat(n);
        check_one("agent/src/a.rs", &lines(399), NONE, "");
        check_one("agent/src/a.rs", &lines(400), NONE, "400 lines");
        check_one("agent/src/a/tests.rs", &lines(400), NONE, "");
        check_one("tests/capture/nginx.rs", &lines(400), NONE, "");
        check_one("tests/harness/lib.rs", &lines(400), NONE, "400 lines");
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            lines(300),
            lines(300)
        );
        check_one("agent/src/a.rs", &tested, NONE, "");
        let hidden = format!("#[cfg(test)]\nuse a::b;\n{}", lines(400));
        check_one("agent/src/a.rs", &hidden, NONE, "402 lines");
    }

    #[test]
    fn files_may_be_excepted_while_they_are_long() {
        let known = Known {
            files: &[LongFile {
                path: "agent/src/a.rs",
                reason: "tried",
            }],
            ..NONE
        };
        let lines = |n: usize| "fn a() {}\n".repeat(n);
        check_one("agent/src/a.rs", &lines(400), known, "");
        check_one(
            "agent/src/a.rs",
            &lines(399),
            known,
            "exception out (tried)",
        );
    }

    #[test]
    fn functions_are_short() {
        let function = |lines: usize| format!("fn long() {{\n{}}}\n", "a();\n".repeat(lines - 2));
        check_one("agent/src/a.rs", &function(60), NONE, "");
        check_one(
            "agent/src/a.rs",
            &function(61),
            NONE,
            "a.rs:1: `long` has 61 lines",
        );
        check_one(
            "agent/src/a.rs",
            &format!("#[test]\n{}", function(61)),
            NONE,
            "",
        );
        let known = Known {
            functions: &[LongFunction {
                path: "agent/src/a.rs",
                name: "long",
                reason: "tried",
            }],
            ..NONE
        };
        check_one("agent/src/a.rs", &function(61), known, "");
        check_one(
            "agent/src/a.rs",
            &function(60),
            known,
            "take the exception out (tried)",
        );
    }
}
