//! Bearer tokens, by their digests.

use std::{hint::black_box, sync::Arc};

use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use super::{caller::Caller, grants::Grants, refusals::Refusals};
use crate::config::{Token, TokenDigest};

/// A shorter one is taken for none: nobody can have drawn it by lot. 32 hexadecimal digits are
/// 128 bits.
pub const SHORTEST: usize = 32;
const LONGEST: usize = 1024;

/// The tokens of the configuration.
#[derive(Debug, Default)]
pub struct Tokens(Vec<(TokenDigest, Arc<Caller>)>);

impl Tokens {
    pub fn of(tokens: &[Token], refusals: &Arc<Refusals>) -> Self {
        let caller = |one: &Token| {
            let grants = Grants::of(vec![one.access.clone()]);
            Arc::new(Caller::token(&one.name, grants, Arc::clone(refusals)))
        };
        Self(tokens.iter().map(|one| (one.sha256.clone(), caller(one))).collect())
    }

    /// Whose token it is. All are looked at, whichever it is, and each to its end.
    #[must_use]
    pub fn whose(&self, token: &[u8]) -> Option<Arc<Caller>> {
        if !(SHORTEST..=LONGEST).contains(&token.len()) {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (stored, caller) in &self.0 {
            if equal(&stored.0, &digest) {
                found = Some(caller);
            }
        }
        found.cloned()
    }
}

/// In a time that does not depend on where they differ.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    black_box(differing) == 0
}

/// The token of a request; `None` where it has none, or something that is not one.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (one, None) = (given.next()?, given.next()) else { return None };
    let (scheme, token) = one.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::{Access, Right};

    const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        let of = |name: &str, token: &[u8]| Token {
            name: name.to_owned(),
            sha256: TokenDigest(Sha256::digest(token).into()),
            access: Access { may: [Right::Read].into(), accounts: None, kinds: None },
        };
        let tokens = [of("short", b"secret"), of("payroll", TOKEN), of("other", b"x")];
        Tokens::of(&tokens, &Arc::default())
    }

    #[test]
    fn a_token_is_known_by_its_digest() {
        let tokens = tokens();
        let name = |token: &[u8]| tokens.whose(token).map(|caller| caller.name.clone());
        assert_eq!(name(TOKEN).as_deref(), Some("token payroll"));
        assert_eq!(name(&TOKEN[1..]), None);
        assert_eq!(name(b"0123456789abcdef0123456789abcdeg"), None);
        // Right, but nobody should rely on it.
        assert_eq!(name(b"secret"), None);
        assert_eq!(name(&[b'a'; 4096]), None);
    }

    #[test]
    fn digests_are_compared_whole() {
        let one = [7; 32];
        assert!(equal(&one, &one));
        for n in 0..32 {
            let mut other = one;
            other[n] ^= 1;
            assert!(!equal(&one, &other), "{n}");
        }
    }

    #[test]
    fn only_one_bearer_token_is_one() {
        let headers = |values: &[&str]| {
            let pairs = values
                .iter()
                .map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
            pairs.collect::<HeaderMap>()
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])), Some(&b"abc"[..]));
        assert_eq!(bearer(&headers(&["bearer  abc "])), Some(&b"abc"[..]));
        for bad in [&[][..], &["Basic abc"], &["Bearer"], &["Bearer a", "Bearer b"]] {
            assert_eq!(bearer(&headers(bad)), None, "{bad:?}");
        }
    }
}
