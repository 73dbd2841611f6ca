//! How wide prose may be: comments and documentation.

use super::allowance::{Allowance, Counted};
use super::source::Source;

/// Columns of a line.
const MAX_COLUMNS: usize = 100;

/// Reports lines that are too wide, and says how many there are.
pub fn check(sources: &[Source], allowances: &[Allowance], findings: &mut Vec<String>) -> String {
    let mut total = 0;
    let mut counted = Counted::new(allowances);
    for source in sources {
        let wide = wide_lines(source);
        total += wide.len();
        if counted.covers(&source.path, wide.len()) {
            continue;
        }
        for (line, columns) in wide {
            findings.push(format!(
                "{}:{line}: prose of {columns} columns, at most {MAX_COLUMNS}",
                source.path
            ));
        }
    }
    counted.finish("lines of prose that are too wide", findings);
    format!("lines of prose past {MAX_COLUMNS} columns: {total}")
}

/// Line numbers and columns.
fn wide_lines(source: &Source) -> Vec<(usize, usize)> {
    let lines = source.text.lines().enumerate();
    let mut fenced = false;
    let mut wide = Vec::new();
    for (index, line) in lines {
        let text = line.trim_start();
        // What a comment holds, without its marks.
        let prose = match source.path.rsplit_once('.').map(|(_, end)| end) {
            Some("rs") => text
                .strip_prefix("//")
                .map(|rest| rest.trim_start_matches(['/', '!', ' '])),
            Some("md") => Some(text),
            Some("yaml" | "toml" | "sh" | "py" | "service") => text.strip_prefix('#'),
            _ => None,
        };
        let Some(prose) = prose else { continue };
        if prose.starts_with("```") {
            fenced = !fenced;
        }
        // Rows of tables and listings are as wide as they are; a line of one word (an address)
        // cannot be broken.
        let fixed = fenced || prose.starts_with('|') || !prose.trim().contains(' ');
        let columns = line.chars().count();
        if columns > MAX_COLUMNS && !fixed {
            wide.push((index + 1, columns));
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lines(path: &str, text: &str, expected: &[usize]) {
        let source = Source::new(path, text.to_owned()).unwrap();
        let wide: Vec<usize> = wide_lines(&source).iter().map(|(line, _)| *line).collect();
        assert_eq!(wide, expected, "{text}");
    }

    #[test]
    fn prose_is_narrow() {
        let words = |columns: usize| "word ".repeat(columns.div_ceil(5))[..columns].to_owned();
        check_lines("a.md", &words(100), &[]);
        check_lines("a.md", &format!("short\n{}", words(101)), &[2]);
        check_lines("a.md", &format!("| {} |", words(101)), &[]);
        check_lines(
            "a.md",
            &format!("```\n{}\n```\n{}", words(101), words(101)),
            &[4],
        );
        check_lines("a.md", &"x".repeat(101), &[]);
        check_lines(
            "a.rs",
            &format!("/// {}\n    // {}", words(97), words(93)),
            &[1],
        );
        check_lines("a.rs", &format!("/// é{}", words(95)), &[]);
        check_lines("a.rs", &format!("const A: &str = \"{}\";", words(101)), &[]);
        check_lines(
            "a.toml",
            &format!("# {}\na = \"{}\"", words(101), words(101)),
            &[1],
        );
        check_lines("a.json", &words(101), &[]);
    }
}
