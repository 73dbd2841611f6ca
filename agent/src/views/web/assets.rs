//! The page's own files: written by hand, part of the program, fetched from nowhere else.

/// A file: its name in the address, its media type, and what is in it.
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) content: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($($name:literal: $kind:expr,)*) => {
        &[$(Asset {
            name: $name,
            kind: $kind,
            content: include_str!(concat!("assets/", $name)),
        },)*]
    };
}

/// All of them but the page itself.
pub(super) const ASSETS: &[Asset] = assets![
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "main.js": SCRIPT,
    "server.js": SCRIPT,
    "rows.js": SCRIPT,
    "list.js": SCRIPT,
    "detail.js": SCRIPT,
    "body.js": SCRIPT,
    "plots.js": SCRIPT,
    "map.js": SCRIPT,
    "format.js": SCRIPT,
];

/// The page.
pub(super) const INDEX: &str = include_str!("assets/index.html");

#[cfg(test)]
mod tests {
    use super::*;

    /// What would put markup or code where text belongs, or reach beyond this server.
    const FORBIDDEN: &[&str] = &[
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "eval(",
        "new Function",
        "javascript:",
        "https://",
        "import(",
    ];

    #[test]
    fn nothing_makes_markup_or_leads_elsewhere() {
        for asset in ASSETS {
            for word in FORBIDDEN {
                assert!(!asset.content.contains(word), "{}: {word}", asset.name);
            }
            // Names of XML's vocabularies are no addresses.
            let text = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://"), "{}", asset.name);
        }
        for inline in [" style=", " onclick=", "<style", "javascript:", "//"] {
            assert!(!INDEX.contains(inline), "{inline}");
        }
        assert_eq!(INDEX.matches("<script").count(), 1);
    }

    /// One exchange is none of several exchanges: `counted` knows.
    #[test]
    fn counts_have_their_nouns() {
        for asset in ASSETS {
            for noun in ["exchanges", "messages"] {
                let fixed = format!(")}} {noun}");
                assert!(!asset.content.contains(&fixed), "{}: {noun}", asset.name);
            }
        }
    }

    #[test]
    fn whatever_is_imported_is_there() {
        let all = ASSETS.iter().map(|asset| asset.content).chain([INDEX]);
        for content in all {
            for line in content.lines().filter(|line| line.starts_with("import ")) {
                let name = line
                    .split("\"./")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next());
                let name = name.expect("a file beside it");
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            }
        }
    }
}
