//! A key from which single chains can be cut out for good: a puncturable pseudorandom function
//! after Goldreich, Goldwasser and Micali (J. ACM 33(4), 1986).
//!
//! The root stands for all 2^64 paths. Each node has four children, each a hash of its parent and
//! a digit, and a chain's secret is the leaf at the end of its path: 32 hashes down. Whoever has a
//! node has everything below it and nothing beside or above it. So one path is cut out by
//! replacing the node that covers it with the siblings along the way (at most 3 × 32): every other
//! leaf can still be had, this one never again.
//!
//! A path is the first 64 bits of a chain's random salt. That two of a million chains share one,
//! so that erasing one would erase the other, has a chance of 3 in 100 million.

use std::collections::BTreeMap;

use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

/// Digits of a path; two bits each.
const DEPTH: u8 = 32;

/// What a child is hashed for. With the parent and a digit it fits one block of SHA-256, and all
/// inputs have one length, so that no input continues another.
const LABEL: &[u8] = b"attendant tree v2";

type Secret = Zeroizing<[u8; 32]>;

/// What is left of the tree: nodes that cover no path twice, by the first path that each covers.
#[derive(Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<u64, Node>,
}

#[derive(Clone)]
struct Node {
    depth: u8,
    /// Boxed, so that the map moves no secrets about.
    secret: Box<Secret>,
}

/// The paths below a node of this depth, less one.
fn span(depth: u8) -> u64 {
    u64::MAX.checked_shr(2 * u32::from(depth)).unwrap_or(0)
}

/// The first path of a node's child.
fn child_start(start: u64, depth: u8, digit: u8) -> u64 {
    start | (u64::from(digit) << (62 - 2 * u32::from(depth)))
}

/// The digit of a path that chooses a child of a node of this depth.
fn digit(path: u64, depth: u8) -> u8 {
    ((path >> (62 - 2 * u32::from(depth))) & 3) as u8
}

fn child(parent: &[u8; 32], digit: u8) -> Secret {
    let mut secret = Zeroizing::new([0; 32]);
    let hash = Sha256::new().chain_update(parent).chain_update(LABEL).chain_update([digit]);
    hash.finalize_into((&mut *secret).into());
    secret
}

impl Tree {
    pub(super) fn whole(root: Secret) -> Self {
        Self { nodes: BTreeMap::from([(0, Node { depth: 0, secret: Box::new(root) })]) }
    }

    /// The node that covers a path, with the first path that it covers.
    fn covering(&self, path: u64) -> Option<(u64, &Node)> {
        let (start, node) = self.nodes.range(..=path).next_back()?;
        (path - start <= span(node.depth)).then_some((*start, node))
    }

    /// The secret at the end of a path; `None` once it was cut out.
    pub(super) fn leaf(&self, path: u64) -> Option<Secret> {
        let (_, node) = self.covering(path)?;
        let from = Zeroizing::clone(&node.secret);
        Some((node.depth..DEPTH).fold(from, |secret, depth| child(&secret, digit(path, depth))))
    }

    /// Cuts a path out; `false` if it was before.
    pub(super) fn puncture(&mut self, path: u64) -> bool {
        let Some((mut start, _)) = self.covering(path) else { return false };
        let Some(node) = self.nodes.remove(&start) else { return false };
        let mut secret = node.secret;
        for depth in node.depth..DEPTH {
            let own = digit(path, depth);
            for other in (0..4).filter(|other| *other != own) {
                let sibling = Node { depth: depth + 1, secret: Box::new(child(&secret, other)) };
                self.nodes.insert(child_start(start, depth, other), sibling);
            }
            *secret = child(&secret, own);
            start = child_start(start, depth, own);
        }
        true
    }

    /// The nodes' secrets in the order of their paths. Where they stand follows from the paths that
    /// were cut out.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.nodes.values().map(|node| &**node.secret)
    }

    /// The tree without these paths, from the secrets that [`secrets`](Self::secrets) gave; `None`
    /// where they are too few or too many.
    pub(super) fn rebuilt(
        mut punctured: Vec<u64>,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Option<Self> {
        punctured.sort_unstable();
        punctured.dedup();
        let mut places = vec![];
        uncut(&punctured, 0, 0, &mut places);
        let mut secrets = secrets.into_iter();
        let mut nodes = BTreeMap::new();
        for (start, depth) in places {
            nodes.insert(start, Node { depth, secret: Box::new(secrets.next()?) });
        }
        secrets.next().is_none().then_some(Self { nodes })
    }
}

/// The largest subtrees of a node in which nothing was cut out: first path and depth.
fn uncut(punctured: &[u64], start: u64, depth: u8, places: &mut Vec<(u64, u8)>) {
    if punctured.is_empty() {
        places.push((start, depth));
    } else if depth < DEPTH {
        let mut rest = punctured;
        for digit in 0..4 {
            let first = child_start(start, depth, digit);
            let last = first + span(depth + 1);
            let (within, after) = rest.split_at(rest.partition_point(|path| *path <= last));
            uncut(within, first, depth + 1, places);
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole() -> Tree {
        Tree::whole(Zeroizing::new([9; 32]))
    }

    fn leaf(tree: &Tree, path: u64) -> Option<[u8; 32]> {
        tree.leaf(path).map(|secret| *secret)
    }

    /// Paths that often share their beginning.
    fn path() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            0..16_u64,
            (u64::MAX - 16)..=u64::MAX,
            (0..16_u64).prop_map(|few| 0xabcd_0000_0000_0000 | few << 20),
        ]
    }

    /// Fixed for ever, since another value would make every database unreadable; computed with
    /// another implementation (Python's hashlib).
    #[test]
    fn derivation_does_not_change_between_releases() {
        let secret = leaf(&whole(), 0x0123_4567_89ab_cdef).unwrap();
        assert_eq!(secret[..8], [94, 162, 235, 60, 103, 162, 141, 187]);
    }

    #[test]
    fn one_puncture_leaves_three_siblings_a_level() {
        let mut tree = whole();
        assert_eq!(tree.secrets().count(), 1);
        assert!(tree.puncture(7));
        assert_eq!(tree.secrets().count(), 96);
        assert!(!tree.puncture(7), "it is gone already");
        assert_eq!(tree.secrets().count(), 96);
        assert!(tree.puncture(6), "its sibling is a leaf of its own");
        assert_eq!(tree.secrets().count(), 95);
    }

    #[test]
    fn no_ancestor_of_what_was_cut_out_is_left() {
        let root = [9; 32];
        let path = 0x8000_0000_0000_0001;
        let mut tree = whole();
        tree.puncture(path);
        let mut ancestor = Zeroizing::new(root);
        for depth in 0..=DEPTH {
            assert!(tree.secrets().all(|secret| *secret != *ancestor), "depth {depth}");
            if depth < DEPTH {
                ancestor = child(&ancestor, digit(path, depth));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_was_cut_out_is_gone_and_all_else_is_as_it_was(
            cut in prop::collection::vec(path(), 0..24),
            others in prop::collection::vec(path(), 0..24),
        ) {
            let mut tree = whole();
            for (n, path) in cut.iter().enumerate() {
                prop_assert_eq!(tree.puncture(*path), !cut[..n].contains(path));
            }
            for path in &cut {
                prop_assert_eq!(leaf(&tree, *path), None);
            }
            let neighbours = cut.iter().flat_map(|path| [path.wrapping_add(1), path ^ 1 << 40]);
            for path in others.iter().copied().chain(neighbours).filter(|path| !cut.contains(path)) {
                prop_assert_eq!(leaf(&tree, path), leaf(&whole(), path));
            }
        }

        #[test]
        fn a_tree_is_rebuilt_from_its_secrets(cut in prop::collection::vec(path(), 0..12)) {
            let mut tree = whole();
            for path in &cut {
                tree.puncture(*path);
            }
            let secrets: Vec<Secret> = tree.secrets().map(|one| Zeroizing::new(*one)).collect();
            let again = Tree::rebuilt(cut.clone(), secrets.clone()).unwrap();
            let places = |tree: &Tree| -> Vec<(u64, u8, [u8; 32])> {
                tree.nodes.iter().map(|(at, node)| (*at, node.depth, **node.secret)).collect()
            };
            prop_assert_eq!(places(&again), places(&tree));
            let fewer = secrets[1..].to_vec();
            prop_assert!(Tree::rebuilt(cut.clone(), fewer).is_none());
            let more = secrets.into_iter().chain([Zeroizing::new([0; 32])]);
            prop_assert!(Tree::rebuilt(cut, more).is_none());
        }
    }
}
