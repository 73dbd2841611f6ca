//! A filter's text → its words.

/// One term as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// It had a `-` before it.
    pub(super) negated: bool,
    /// What stands before the first colon outside of quotes.
    pub(super) kind: Option<String>,
    /// What stands after it, without the quotes.
    pub(super) value: String,
}

/// Splits at spaces outside of quotes.
///
/// # Errors
/// When a quote has no end.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn word(text: &str) -> Result<(Word, &str), String> {
    let mut word = Word::default();
    let mut quoted = false;
    let body = match text.strip_prefix('-') {
        Some(after) if !after.is_empty() && !after.starts_with(char::is_whitespace) => {
            word.negated = true;
            after
        }
        _ => text,
    };
    let mut had_quotes = false;
    for (at, c) in body.char_indices() {
        match c {
            '"' => {
                quoted = !quoted;
                had_quotes = true;
            }
            ':' if !quoted && !had_quotes && word.kind.is_none() => {
                word.kind = Some(std::mem::take(&mut word.value).to_ascii_lowercase());
            }
            _ if c.is_whitespace() && !quoted => {
                return Ok((word, body.get(at..).unwrap_or_default()));
            }
            _ => word.value.push(c),
        }
    }
    match quoted {
        true => Err("a quote has no end".to_owned()),
        false => Ok((word, "")),
    }
}
