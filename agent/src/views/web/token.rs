//! The random part of the page's address.

use std::fmt;
use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 192 bits: nobody guesses it.
const BYTES: usize = 24;

/// Who knows it may look. It is in the address that is printed, and nowhere else: a cookie would go
/// to every port of the host.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// From the kernel's random numbers.
    pub(super) fn random() -> std::io::Result<Self> {
        let mut bytes = [0; BYTES];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    #[cfg(test)]
    pub(super) fn fixed(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes as long for every text of the right length: how long says nothing of where it differs.
    pub(super) fn is(&self, claimed: &str) -> bool {
        let (own, claimed) = (self.0.as_bytes(), claimed.as_bytes());
        if own.len() != claimed.len() {
            return false;
        }
        let pairs = own.iter().zip(claimed);
        let difference = pairs.fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        black_box(difference) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_one() {
        let token = Token::random().expect("random numbers");
        let text = token.as_str().to_owned();
        assert_eq!(text.len(), BYTES * 4 / 3);
        assert!(token.is(&text));
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            if let Some(byte) = other.get_mut(at) {
                *byte ^= 1;
            }
            assert!(!token.is(&String::from_utf8(other).expect("ASCII")), "{at}");
        }
        for other in ["", &text[1..], &format!("{text}A")] {
            assert!(!token.is(other), "{other}");
        }
        assert!(!Token::random().expect("random numbers").is(&text));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
