//! What somebody may do, and with what: the sum of all the rules that name them.
//!
//! A rule is limited to accounts and kinds, or not. A job is within it if its account is one of
//! the accounts, and its kind, or that of the first job of its chain, is one of the kinds: whoever
//! may order a check may also follow what comes of it. A credential has the kind of its renewal
//! (`certn.access_token`).

use crate::{
    config::{Access, Right},
    store::{JobRow, Within},
};

/// The rules that hold for one caller.
#[derive(Debug, Clone, Default)]
pub struct Grants(Vec<Access>);

fn lists<T: AsRef<str> + Ord>(limit: Option<&std::collections::BTreeSet<T>>, name: &str) -> bool {
    limit.is_none_or(|names| names.iter().any(|one| one.as_ref() == name))
}

impl Grants {
    #[must_use]
    pub fn everything() -> Self {
        let may = Right::ALL.iter().copied().collect();
        Self(vec![Access { may, accounts: None, kinds: None }])
    }

    #[must_use]
    pub fn of(rules: Vec<Access>) -> Self {
        Self(rules.into_iter().filter(|one| !one.may.is_empty()).collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn with(&self, right: Right) -> impl Iterator<Item = &Access> {
        self.0.iter().filter(move |one| one.may.contains(&right))
    }

    /// On something.
    #[must_use]
    pub fn somewhere(&self, right: Right) -> bool {
        self.with(right).next().is_some()
    }

    /// On everything.
    #[must_use]
    pub fn everywhere(&self, right: Right) -> bool {
        self.with(right).any(|one| one.accounts.is_none() && one.kinds.is_none())
    }

    /// On some kind of this account.
    #[must_use]
    pub fn in_account(&self, right: Right, account: &str) -> bool {
        self.with(right).any(|one| lists(one.accounts.as_ref(), account))
    }

    /// On all kinds of this account.
    #[must_use]
    pub fn on_account(&self, right: Right, account: &str) -> bool {
        self.with(right).any(|one| one.kinds.is_none() && lists(one.accounts.as_ref(), account))
    }

    /// On some account, for this kind.
    #[must_use]
    pub fn for_kind(&self, right: Right, kind: &str) -> bool {
        self.with(right).any(|one| lists(one.kinds.as_ref(), kind))
    }

    #[must_use]
    pub fn on(&self, right: Right, account: &str, kind: &str) -> bool {
        self.with(right)
            .any(|one| lists(one.accounts.as_ref(), account) && lists(one.kinds.as_ref(), kind))
    }

    #[must_use]
    pub fn on_job(&self, right: Right, job: &JobRow) -> bool {
        self.on(right, &job.account, &job.kind) || self.on(right, &job.account, &job.root_kind)
    }

    /// Any right on this kind with this account.
    #[must_use]
    pub fn knows(&self, account: &str, kind: &str) -> bool {
        Right::ALL.iter().any(|right| self.on(*right, account, kind))
    }

    /// What a list of jobs is limited to; `None`: nothing.
    #[must_use]
    pub fn limits(&self, right: Right) -> Option<Vec<Within>> {
        let list = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect();
        let within = |one: &Access| Within {
            accounts: one.accounts.as_ref().map(list),
            kinds: one.kinds.as_ref().map(list),
        };
        (!self.everywhere(right)).then(|| self.with(right).map(within).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(may: &[Right], accounts: &[&str], kinds: &[&str]) -> Access {
        let names = |names: &[&str]| {
            (!names.is_empty()).then(|| names.iter().map(|&name| name.to_owned()).collect())
        };
        Access {
            may: may.iter().copied().collect(),
            accounts: names(accounts),
            kinds: names(kinds),
        }
    }

    #[test]
    fn rules_add_up_and_are_not_mixed() {
        let grants = Grants::of(vec![
            rule(&[Right::Read], &["certn"], &[]),
            rule(&[Right::Read, Right::Enqueue], &[], &["acme.user"]),
        ]);
        let on = |right, account, kind| grants.on(right, account, kind);
        assert!(on(Right::Read, "certn", "certn.users"));
        assert!(on(Right::Enqueue, "acme", "acme.user"));
        // Neither rule alone gives these.
        assert!(!on(Right::Enqueue, "certn", "certn.users"));
        assert!(!on(Right::Read, "acme", "acme.other"));
        assert!(!grants.somewhere(Right::Operate));
        assert!(grants.on_account(Right::Read, "certn"));
        assert!(!grants.on_account(Right::Read, "acme"));
        assert!(grants.in_account(Right::Read, "acme"));
        assert!(grants.for_kind(Right::Read, "anything"));
        assert!(!grants.for_kind(Right::Enqueue, "anything"));
        assert!(!grants.everywhere(Right::Read));
        assert_eq!(grants.limits(Right::Read).map(|limits| limits.len()), Some(2));
    }

    #[test]
    fn an_empty_list_names_nothing() {
        let none = Access { accounts: Some([].into()), ..rule(&[Right::Read], &[], &[]) };
        let grants = Grants::of(vec![none]);
        assert!(!grants.on(Right::Read, "certn", "certn.users"));
        assert!(Grants::of(vec![rule(&[], &[], &[])]).is_empty());
    }

    #[test]
    fn everything_has_no_limits() {
        let all = Grants::everything();
        assert!(Right::ALL.iter().all(|right| all.everywhere(*right)));
        assert_eq!(all.limits(Right::Read), None);
    }
}
