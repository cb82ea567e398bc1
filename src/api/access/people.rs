//! Users and groups of the machine, as its user database has them.
//!
//! The kernel gives a connection's uid and primary gid. The groups beside it are those that the
//! database lists for that user (getgrouplist(3), as polkit does): those of the process itself
//! could only be had by code that this crate forbids itself, or by its pid, which is not to be
//! trusted.

use std::{collections::BTreeSet, ffi::CString};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::config::{Allow, Peer};

/// A user with all their groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub uid: u32,
    /// `None` where the database does not know them.
    pub name: Option<String>,
    pub groups: BTreeSet<u32>,
}

impl Person {
    /// Blocks: on some machines the database is a directory in the network.
    #[must_use]
    pub fn look_up(uid: u32, gid: u32) -> Self {
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        let mut groups = BTreeSet::from([gid]);
        let text = name.as_deref().and_then(|name| CString::new(name).ok());
        if let Some(Ok(found)) = text.map(|name| getgrouplist(&name, Gid::from_raw(gid))) {
            groups.extend(found.into_iter().map(Gid::as_raw));
        }
        Self { uid, name, groups }
    }

    /// Whether a rule means them. A name that the database does not know means nobody. Blocks.
    #[must_use]
    pub fn is_meant(&self, rule: &Allow) -> bool {
        match &rule.peer {
            Peer::User(name) => uid_of(name) == Some(self.uid),
            Peer::Uid(uid) => *uid == self.uid,
            Peer::Group(name) => gid_of(name).is_some_and(|gid| self.groups.contains(&gid)),
        }
    }
}

/// The number of a user: a name, or a number.
pub fn uid_of(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Some(User::from_name(name).ok()??.uid.as_raw()))
}

pub fn gid_of(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Some(Group::from_name(name).ok()??.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Access;

    fn rule(peer: Peer) -> Allow {
        Allow { peer, access: Access { may: [].into(), accounts: None, kinds: None } }
    }

    #[test]
    fn root_is_known_and_a_number_needs_no_name() {
        let root = Person::look_up(0, 0);
        assert_eq!(root.name.as_deref(), Some("root"));
        assert!(root.groups.contains(&0));
        let nameless = Person::look_up(3_000_000_001, 3_000_000_002);
        assert_eq!(nameless.name, None);
        assert_eq!(nameless.groups, [3_000_000_002].into());
    }

    #[test]
    fn a_rule_names_users_and_groups_by_name_or_number() {
        let person = Person { uid: 12, name: None, groups: [34, 0].into() };
        let meant = |peer| person.is_meant(&rule(peer));
        assert!(meant(Peer::Uid(12)));
        assert!(meant(Peer::User("12".into())));
        assert!(meant(Peer::Group("34".into())));
        assert!(meant(Peer::Group("root".into())));
        assert!(!meant(Peer::User("34".into())));
        assert!(!meant(Peer::User("root".into())));
        assert!(!meant(Peer::Group("12".into())));
        assert!(!meant(Peer::User("no such user".into())));
        assert!(!meant(Peer::Group("no such group".into())));
    }
}
