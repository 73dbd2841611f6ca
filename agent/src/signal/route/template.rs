//! Path templates: those of `OpenAPI` documents, and those that are made of paths.

use std::sync::Arc;

use serde_json::Value;

/// Templates of all documents: every one is tried for each exchange that no rule names.
const MAX_TEMPLATES: usize = 2000;
/// Parts of a path that are kept by [`automatic`].
const MAX_PARTS: usize = 8;
/// Longest part that is not taken for an id: words of a path are shorter.
const MAX_WORD: usize = 32;

/// Methods of an operation (`OpenAPI` 3.1, "Path Item Object").
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// A template of a document.
#[derive(Clone, Debug)]
struct Template {
    method: String,
    parts: Vec<Part>,
    /// `GET /orders/{id}`
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Parameter,
    /// Text before and after a parameter.
    Around(String, String),
}

impl Part {
    fn of(text: &str) -> Self {
        let Some((before, rest)) = text.split_once('{') else {
            return Self::Literal(text.to_owned());
        };
        let after = rest.rsplit_once('}').map_or("", |(_, after)| after);
        match (before, after) {
            ("", "") => Self::Parameter,
            _ => Self::Around(before.to_owned(), after.to_owned()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == text,
            Self::Parameter => !text.is_empty(),
            Self::Around(before, after) => {
                let inner = text.strip_prefix(before.as_str());
                let inner = inner.and_then(|inner| inner.strip_suffix(after.as_str()));
                inner.is_some_and(|inner| !inner.is_empty())
            }
        }
    }
}

/// The templates of documents.
#[derive(Clone, Debug, Default)]
pub(super) struct Templates(Vec<Template>);

impl Templates {
    /// Adds those of a document.
    pub(super) fn add(&mut self, document: &Value) -> Result<(), String> {
        let paths = document.get("paths").and_then(Value::as_object);
        let paths = paths.ok_or("there is no object `paths`")?;
        let bases = bases(document);
        for (path, item) in paths {
            let methods = METHODS.iter().filter(|method| item.get(*method).is_some());
            for method in methods {
                let method = method.to_ascii_uppercase();
                for base in &bases {
                    if self.0.len() >= MAX_TEMPLATES {
                        return Err(format!("more than {MAX_TEMPLATES} operations"));
                    }
                    let full = format!("{}{path}", base.trim_end_matches('/'));
                    self.0.push(Template {
                        parts: full.split('/').map(Part::of).collect(),
                        name: format!("{method} {full}").into(),
                        method: method.clone(),
                    });
                }
            }
        }
        // Concrete ones go before templates ("Paths Object"), part by part.
        let rank = |template: &Template| -> Vec<u8> {
            let rank = |part: &Part| match part {
                Part::Literal(_) => 0,
                Part::Around(..) => 1,
                Part::Parameter => 2,
            };
            template.parts.iter().map(rank).collect()
        };
        self.0.sort_by_key(rank);
        Ok(())
    }

    /// The first that fits.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<&Arc<str>> {
        let count = path.split('/').count();
        let fits = |template: &&Template| {
            let parts = template.parts.iter().zip(path.split('/'));
            template.method == method
                && template.parts.len() == count
                && parts.into_iter().all(|(part, text)| part.matches(text))
        };
        self.0.iter().find(fits).map(|template| &template.name)
    }
}

/// What stands before the paths of a document: the paths of its servers.
fn bases(document: &Value) -> Vec<String> {
    let servers = document.get("servers").and_then(Value::as_array);
    let urls = servers.into_iter().flatten();
    let urls = urls.filter_map(|server| server.get("url").and_then(Value::as_str));
    let mut bases: Vec<String> = urls
        .map(|url| {
            let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
            let is_absolute = after_scheme.len() != url.len();
            match (is_absolute, after_scheme.find('/')) {
                (true, None) => String::new(),
                (true, Some(at)) => after_scheme[at..].to_owned(),
                (false, _) => url.to_owned(),
            }
        })
        .collect();
    // Version 2.
    let base = document.get("basePath").and_then(Value::as_str);
    bases.extend(base.map(str::to_owned));
    if bases.is_empty() {
        bases.push(String::new());
    }
    bases.sort();
    bases.dedup();
    bases
}

/// Writes a path with `{id}` for parts that look like ids.
pub(crate) fn automatic(out: &mut String, path: &str) {
    let mut parts = path.split('/');
    // What is before the first `/`: nothing, but in `*`.
    out.push_str(parts.next().unwrap_or_default());
    for (number, part) in parts.enumerate() {
        out.push('/');
        if number >= MAX_PARTS {
            out.push('…');
            return;
        }
        match is_id(part) {
            true => out.push_str("{id}"),
            false => out.push_str(part),
        }
    }
}

/// Numbers, UUIDs, hashes, tokens: words have no digits but a version's.
fn is_id(part: &str) -> bool {
    let is_version = || {
        let digits = part.strip_prefix(['v', 'V']).unwrap_or_default();
        !digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let is_word =
        |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':');
    match part {
        "" => false,
        _ if part.len() > MAX_WORD => true,
        _ => !part.bytes().all(is_word) && !is_version(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn openapi() {
        let mut templates = Templates::default();
        let document = json!({
            "servers": [{"url": "https://api.example.com/v1/"}],
            "paths": {
                "/orders/{id}": {"get": {}, "delete": {}, "parameters": []},
                "/orders/mine": {"get": {}},
                "/orders/{id}/items/{item}": {"put": {}},
                "/files/{name}.pdf": {"get": {}},
                "/": {"get": {}},
            },
        });
        templates.add(&document).unwrap();
        let check = |method: &str, path: &str, expected: Option<&str>| {
            assert_eq!(
                templates.find(method, path).map(|name| &**name),
                expected,
                "{path}"
            );
        };
        check("GET", "/v1/orders/7", Some("GET /v1/orders/{id}"));
        check("GET", "/v1/orders/mine", Some("GET /v1/orders/mine"));
        check("DELETE", "/v1/orders/mine", Some("DELETE /v1/orders/{id}"));
        check(
            "PUT",
            "/v1/orders/7/items/b",
            Some("PUT /v1/orders/{id}/items/{item}"),
        );
        check("GET", "/v1/files/a.pdf", Some("GET /v1/files/{name}.pdf"));
        check("GET", "/v1/files/.pdf", None);
        check("GET", "/v1/", Some("GET /v1/"));
        for (method, path) in [
            ("POST", "/v1/orders/7"),
            ("GET", "/orders/7"),
            ("GET", "/v1/orders/"),
            ("GET", "*"),
        ] {
            check(method, path, None);
        }
        assert!(
            Templates::default()
                .add(&json!({"openapi": "3.1.0"}))
                .is_err()
        );
    }

    #[test]
    fn old_documents_and_relative_servers() {
        let mut templates = Templates::default();
        templates
            .add(&json!({"swagger": "2.0", "basePath": "/api", "paths": {"/a": {"get": {}}}}))
            .unwrap();
        templates
            .add(&json!({"servers": [{"url": "/rel"}], "paths": {"/b": {"get": {}}}}))
            .unwrap();
        templates
            .add(&json!({"servers": [{"url": "http://h"}], "paths": {"/c": {"get": {}}}}))
            .unwrap();
        for path in ["/api/a", "/rel/b", "/c"] {
            assert!(templates.find("GET", path).is_some(), "{path}");
        }
    }

    #[test]
    fn ids() {
        let check = |path: &str, expected: &str| {
            let mut out = String::new();
            automatic(&mut out, path);
            assert_eq!(out, expected);
        };
        check("/", "/");
        check("*", "*");
        check("/api/v1/orders/17", "/api/v1/orders/{id}");
        check(
            "/users/6f2b6c1e-0d1f-4d0a-9a63-000000000001/cart",
            "/users/{id}/cart",
        );
        check("/healthz", "/healthz");
        check("/static/app.min.js", "/static/app.min.js");
        check("/files/deadbeef01", "/files/{id}");
        check("/a%20b/x@y", "/{id}/{id}");
        check("/v123/v2", "/{id}/v2");
        check("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/…");
        check(&format!("/{}", "x".repeat(40)), "/{id}");
    }
}
