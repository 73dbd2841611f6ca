//! A Rust file as tokens: which functions it has and how long they are, what it names, what it
//! defines.
//!
//! Lexed by `proc_macro2`, which knows every form of comment, string and lifetime. No syntax tree:
//! paths inside macro calls count like others, and lexing is several times faster than parsing.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What the rules want to know of a Rust file.
#[derive(Debug, Default)]
pub struct Rust {
    /// Every function with a body, tests included.
    pub functions: Vec<Function>,
    /// Every path and macro call outside tests.
    pub paths: Vec<NamedPath>,
    /// Every item outside tests.
    pub definitions: Vec<Definition>,
    /// Lines before `mod tests`.
    pub lines: usize,
}

/// A function, method or associated function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, without the type that it belongs to.
    pub name: String,
    /// Where `fn` stands.
    pub line: usize,
    /// From there to the closing brace.
    pub lines: usize,
    /// It is a test, or inside a module of tests.
    pub test: bool,
}

/// A path as the compiler resolves it up to the crate: `use super::a::{b, c}` in `x/y.rs` is
/// `crate::x::a::b` and `crate::x::a::c`. A macro's name ends with `!`.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// Where it starts.
    pub line: usize,
    /// Its segments.
    pub segments: Vec<String>,
}

/// The name of a type, trait, function, module, constant or static.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// `struct`, `fn`, …
    pub keyword: String,
    /// The name.
    pub name: String,
    /// Where it stands.
    pub line: usize,
}

const DEFINING: &[&str] = &[
    "struct", "enum", "union", "trait", "type", "fn", "mod", "const", "static",
];

impl Rust {
    /// Reads a file. `path` says which module it is.
    ///
    /// # Errors
    /// When it is no sequence of Rust's tokens.
    pub fn parse(path: &str, text: &str) -> Result<Self> {
        // A first line `#!/…` is the kernel's, `#![…]` is Rust's.
        let tokens: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            anyhow!("line {}: {error}", error.span().start().line)
        })?;
        let mut reader = Reader {
            module: module_of(path),
            rust: Self {
                lines: text.lines().count(),
                ..Self::default()
            },
        };
        reader.items(tokens, false);
        Ok(reader.rust)
    }
}

/// The module that a file is, as segments after the crate: `agent/src/http/h1/mod.rs` →
/// `[http, h1]`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.split_once("src/").map_or(path, |(_, rest)| rest);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut segments: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(
        segments.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        segments.pop();
    }
    segments
}

struct Reader {
    module: Vec<String>,
    rust: Rust,
}

impl Reader {
    /// Reads the tokens of one level. `test`: they belong to a test.
    fn items(&mut self, tokens: TokenStream, test: bool) {
        let mut cursor = Cursor::new(tokens);
        // The next item has an attribute that makes it a test's; the item has started.
        let (mut marked, mut started) = (false, false);
        while let Some(token) = cursor.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    cursor.skip_punct('!');
                    if let Some(attribute) = cursor.group(Delimiter::Bracket) {
                        marked |= is_test(attribute.stream());
                    }
                }
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    let line = ident.span().start().line;
                    self.word(&word, line, &mut cursor, test || marked);
                    started |= word == "impl" || DEFINING.contains(&word.as_str());
                    if matches!(word.as_str(), "use" | "fn" | "mod") {
                        (marked, started) = (false, false);
                    }
                }
                TokenTree::Group(group) => {
                    self.items(group.stream(), test || marked);
                    if group.delimiter() == Delimiter::Brace {
                        (marked, started) = (false, false);
                    }
                }
                TokenTree::Punct(punct) => match punct.as_char() {
                    ';' => (marked, started) = (false, false),
                    // Between fields or variants, not between the parameters of an item.
                    ',' => marked &= started,
                    // A lifetime, or `*const T`: a keyword that starts no item.
                    '\'' => drop(cursor.ident()),
                    '*' => drop(cursor.ident_if("const")),
                    _ => {}
                },
                TokenTree::Literal(_) => {}
            }
        }
    }

    /// An identifier or keyword: the start of an item, of a path, or nothing.
    fn word(&mut self, word: &str, line: usize, cursor: &mut Cursor, test: bool) {
        if DEFINING.contains(&word)
            && !test
            && let Some(name) = cursor.peek_ident()
            && !matches!(name.as_str(), "fn" | "unsafe" | "extern" | "mut" | "async")
        {
            self.rust.definitions.push(Definition {
                keyword: word.to_owned(),
                name,
                line,
            });
        }
        match word {
            "use" => self.import(line, cursor, test),
            "fn" => self.function(line, cursor, test),
            "mod" => self.module(line, cursor, test),
            _ => self.path(word, line, cursor, test),
        }
    }

    fn import(&mut self, line: usize, cursor: &mut Cursor, test: bool) {
        let mut tree = Vec::new();
        while let Some(token) = cursor.next() {
            if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ';') {
                break;
            }
            tree.push(token);
        }
        if !test {
            self.import_tree(&mut Cursor::from(tree), &[], line);
        }
    }

    /// One level of a `use` tree, after `prefix`.
    fn import_tree(&mut self, cursor: &mut Cursor, prefix: &[String], line: usize) {
        let mut segments = prefix.to_vec();
        while let Some(token) = cursor.next() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => {
                    cursor.next();
                }
                TokenTree::Ident(ident) => segments.push(ident.to_string()),
                TokenTree::Group(group) => {
                    self.import_tree(&mut Cursor::new(group.stream()), &segments, line);
                    segments.clear();
                }
                TokenTree::Punct(punct) if punct.as_char() == ',' => {
                    self.name(std::mem::replace(&mut segments, prefix.to_vec()), line);
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if segments.len() > prefix.len() {
            self.name(segments, line);
        }
    }

    fn function(&mut self, line: usize, cursor: &mut Cursor, test: bool) {
        // `fn(u32) -> u32` is a type.
        let Some(name) = cursor.ident() else { return };
        // Parameters, result and bounds name paths, too.
        let mut signature = Vec::new();
        while let Some(token) = cursor.next() {
            match token {
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                    let end = body.span_close().end().line;
                    self.rust.functions.push(Function {
                        name,
                        line,
                        lines: end + 1 - line,
                        test,
                    });
                    self.items(signature.into_iter().collect(), test);
                    self.items(body.stream(), test);
                    return;
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => break,
                token => signature.push(token),
            }
        }
        self.items(signature.into_iter().collect(), test);
    }

    fn module(&mut self, line: usize, cursor: &mut Cursor, test: bool) {
        let Some(name) = cursor.ident() else { return };
        if test && name == "tests" {
            self.rust.lines = self.rust.lines.min(line.saturating_sub(1));
        }
        if let Some(body) = cursor.group(Delimiter::Brace) {
            self.module.push(name);
            self.items(body.stream(), test);
            self.module.pop();
        }
    }

    /// A path of expressions and types: `a::b::C`, or the name of a macro.
    fn path(&mut self, first: &str, line: usize, cursor: &mut Cursor, test: bool) {
        let mut segments = vec![first.to_owned()];
        while cursor.skip_path_separator() {
            match cursor.ident() {
                Some(next) => segments.push(next),
                // `a::<T>` goes on after the type; `a::{…}` and `a::*` belong to `use`.
                None => break,
            }
        }
        if cursor.at_macro_call()
            && let Some(last) = segments.last_mut()
        {
            last.push('!');
        }
        let is_macro = segments.last().is_some_and(|last| last.ends_with('!'));
        if !test && (segments.len() > 1 || is_macro) {
            self.name(segments, line);
        }
    }

    /// Notes a path, with `self` and `super` resolved.
    fn name(&mut self, segments: Vec<String>, line: usize) {
        let mut module = self.module.as_slice();
        let mut rest = segments.as_slice();
        let mut relative = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => module = module.split_last().map_or(&[], |(_, outer)| outer),
                _ => break,
            }
            relative = true;
            rest = after;
        }
        let segments = if relative {
            let absolute = module.iter().chain(rest).cloned();
            std::iter::once("crate".to_owned())
                .chain(absolute)
                .collect()
        } else {
            segments
        };
        self.rust.paths.push(NamedPath { line, segments });
    }
}

/// `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[tokio::test]`; not `#[cfg(not(test))]`.
fn is_test(attribute: TokenStream) -> bool {
    let mut negated = false;
    attribute.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => {
            negated = ident == "not" || ident == "cfg_attr";
            ident == "test"
        }
        TokenTree::Group(group) => !negated && is_test(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Tokens with one place to read from.
struct Cursor {
    tokens: std::vec::IntoIter<TokenTree>,
}

impl From<Vec<TokenTree>> for Cursor {
    fn from(tokens: Vec<TokenTree>) -> Self {
        Self {
            tokens: tokens.into_iter(),
        }
    }
}

impl Cursor {
    fn new(tokens: TokenStream) -> Self {
        Self::from(tokens.into_iter().collect::<Vec<_>>())
    }

    fn next(&mut self) -> Option<TokenTree> {
        self.tokens.next()
    }

    fn peek(&self, ahead: usize) -> Option<&TokenTree> {
        self.tokens.as_slice().get(ahead)
    }

    fn is_punct(&self, ahead: usize, wanted: char) -> bool {
        matches!(self.peek(ahead), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
    }

    fn peek_ident(&self) -> Option<String> {
        match self.peek(0) {
            Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
            _ => None,
        }
    }

    fn ident(&mut self) -> Option<String> {
        let name = self.peek_ident()?;
        self.next();
        Some(name)
    }

    fn ident_if(&mut self, wanted: &str) -> Option<String> {
        self.peek_ident().filter(|name| name == wanted)?;
        self.ident()
    }

    fn group(&mut self, delimiter: Delimiter) -> Option<Group> {
        match self.peek(0) {
            Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
                let group = group.clone();
                self.next();
                Some(group)
            }
            _ => None,
        }
    }

    fn skip_punct(&mut self, wanted: char) -> bool {
        let there = self.is_punct(0, wanted);
        if there {
            self.next();
        }
        there
    }

    fn skip_path_separator(&mut self) -> bool {
        let there = self.is_punct(0, ':') && self.is_punct(1, ':');
        if there {
            self.next();
            self.next();
        }
        there
    }

    /// `!` and then the arguments, not `!=`.
    fn at_macro_call(&self) -> bool {
        self.is_punct(0, '!') && matches!(self.peek(1), Some(TokenTree::Group(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, text: &str) -> Rust {
        Rust::parse(path, text).unwrap()
    }

    /// The paths outside tests, in order.
    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let rust = parse(path, text);
        let paths: Vec<String> = rust
            .paths
            .iter()
            .map(|path| path.segments.join("::"))
            .collect();
        assert_eq!(paths, expected, "{text}");
    }

    #[test]
    fn paths_are_resolved_up_to_the_crate() {
        let file = "agent/src/http/h1/head.rs";
        check(
            file,
            "use crate::flow::{Nanos, peers::{self, A as B}};",
            &[
                "crate::flow::Nanos",
                "crate::flow::peers::self",
                "crate::flow::peers::A",
            ],
        );
        check(
            file,
            "use super::super::message;",
            &["crate::http::message"],
        );
        check(file, "use super::super::super::flow;", &["crate::flow"]);
        check(
            "agent/src/http/mod.rs",
            "pub(crate) use self::h1::Head;",
            &["crate::http::h1::Head"],
        );
        check(
            file,
            "mod inner { fn a() { super::b::c() } }",
            &["crate::http::h1::head::b::c"],
        );
        check(
            file,
            "fn a(x: &crate::flow::Nanos) -> tokio::A { std::println!(\"crate::no\") }",
            &["crate::flow::Nanos", "tokio::A", "std::println!"],
        );
        check(
            file,
            "// crate::no\n/* crate::no */ const A: &str = r#\"crate::no\"#;",
            &[],
        );
        check(
            file,
            "fn a() { select! { x = crate::flow::b() => {} } if !c {} }",
            &["select!", "crate::flow::b"],
        );
    }

    #[test]
    fn what_belongs_to_tests_is_left_aside_item_by_item() {
        let file = "agent/src/a.rs";
        check(file, "#[cfg(test)] use a::b; use c::d;", &["c::d"]);
        check(
            file,
            "#[cfg(test)] pub(crate) fn a() { b::c(); } fn d() { e::f(); }",
            &["e::f"],
        );
        check(file, "#[cfg(test)] mod tests; use c::d;", &["c::d"]);
        check(
            file,
            "#[test] fn a() { b::c() } fn d() { e::f() }",
            &["e::f"],
        );
        check(file, "#[cfg(not(test))] use a::b;", &["a::b"]);
        check(file, "#[cfg(all(test, unix))] mod tests { use a::b; }", &[]);
        check(
            file,
            "struct A { #[cfg(test)] a: b::C, d: e::F }",
            &["e::F"],
        );
        check(
            file,
            "#[cfg(test)] impl<A, B> C for D<A, B> { a: b::C } use d::e;",
            &["d::e"],
        );
    }

    #[test]
    fn a_file_ends_where_its_tests_start() {
        let text = "#[cfg(test)]\nfn a() {}\n\nfn b() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(parse("a.rs", text).lines, 6);
        assert_eq!(parse("a.rs", "fn a() {}\n\nmod tests {}\n").lines, 3);
    }

    #[test]
    fn functions_are_measured_from_their_keyword_to_their_brace() {
        let text = "/// Doc.\npub fn a(\n    b: u32,\n) where\n    C: D,\n{\n    fn inner() {}\n}\n\
                    trait T { fn no_body(); fn body() {} }\ntype F = fn(u32) -> u32;\n";
        let functions: Vec<_> = parse("a.rs", text)
            .functions
            .into_iter()
            .map(|function| (function.name, function.line, function.lines))
            .collect();
        let of = |name: &str, line, lines| (name.to_owned(), line, lines);
        assert_eq!(
            functions,
            [of("a", 2, 7), of("inner", 7, 1), of("body", 9, 1)]
        );
    }

    #[test]
    fn definitions_are_named() {
        let rust = parse(
            "a.rs",
            "pub struct A; enum B {} const fn c() {} static mut D: u8 = 0; fn e<const F: u8>() {} \
             type G = &'static str; type H = *const u8;",
        );
        let names: Vec<_> = rust
            .definitions
            .iter()
            .map(|item| item.name.as_str())
            .collect();
        assert_eq!(names, ["A", "B", "c", "e", "F", "G", "H"]);
    }
}
