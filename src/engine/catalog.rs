//! What the daemon is to do: the configured accounts joined with their providers' definitions.
//! A value of this module is replaced as a whole by a reload.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{plan::Plan, schedules::Schedule};
use crate::{
    config::{Retention, Sink},
    credentials::{changes::Owner, vault::Vault},
    definition::{Kind, Provider, Registry, Vars},
    diagnostic::Diagnostic,
    policy::limit::Limit,
    store::{Hash16, KindId, QueueId, Store, StoreResult},
    types::Timestamp,
};

/// An account ready for use.
#[derive(Debug)]
pub struct Account {
    pub name: String,
    pub queue: QueueId,
    pub provider: Arc<Provider>,
    pub base_url: Url,
    /// The quota that its requests count against; shared by the accounts that name it.
    pub budget: String,
    pub limits: Vec<Limit>,
    pub is_default: bool,
    pub params: Map<String, Value>,
    pub secrets: BTreeMap<String, SecretString>,
    /// When secrets end, where their operator wrote it down.
    pub expiries: BTreeMap<String, Timestamp>,
    /// Of all secrets: changes when one of them does.
    pub fingerprint: Hash16,
    pub overlap: Option<Duration>,
    pub sinks: Vec<Sink>,
    /// The credentials that none of its jobs can do without.
    pub blocking: BTreeSet<String>,
}

/// The queue of the daemon's own jobs, which no account can be named like: what holds an account
/// does not hold them.
pub const LOCAL: &str = "@local";
/// The kind of a sink's command.
pub const ON_CHANGE: &str = "attendant.on_change";

impl Account {
    #[must_use]
    pub fn owner(&self) -> Owner<'_> {
        Owner { queue: self.queue, secrets: &self.secrets }
    }

    /// Whether other accounts may count against the same quota.
    #[must_use]
    pub fn shares_budget(&self) -> bool {
        self.budget.starts_with(super::plan::SHARED)
    }

    /// Its parameters, for templates.
    #[must_use]
    pub fn vars(&self) -> Vars {
        Vars::new().params(&self.params)
    }
}

/// What a number in a job's `kind` column stands for.
#[derive(Debug, Clone)]
pub enum KindRef {
    Job(Arc<Provider>, Arc<Kind>),
    /// The renewal of a credential, by the credential's name.
    Renewal(Arc<Provider>, String),
    /// The command of a sink; in the queue [`LOCAL`].
    OnChange,
}

impl KindRef {
    /// As the contract writes it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Job(_, kind) => kind.name.clone(),
            Self::Renewal(provider, credential) => format!("{}.{credential}", provider.name),
            Self::OnChange => ON_CHANGE.to_owned(),
        }
    }
}

/// Accounts, definitions and the numbers that stand for them in the store.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub registry: Registry,
    pub accounts: BTreeMap<String, Arc<Account>>,
    queues: HashMap<QueueId, Arc<Account>>,
    kinds: HashMap<KindId, KindRef>,
    kind_ids: HashMap<String, KindId>,
    local: QueueId,
    pub schedules: Vec<Schedule>,
    pub retention: Retention,
    pub warnings: Vec<Diagnostic>,
}

impl Catalog {
    /// Gives accounts and kinds their numbers in the store.
    pub async fn register(plan: Plan, store: &dyn Store, vault: &Vault) -> StoreResult<Self> {
        let mut catalog = Self {
            registry: plan.registry,
            accounts: BTreeMap::new(),
            queues: HashMap::new(),
            kinds: HashMap::new(),
            kind_ids: HashMap::new(),
            local: store.queue_id(LOCAL).await?,
            schedules: plan.schedules,
            retention: plan.retention,
            warnings: plan.warnings,
        };
        let names = plan.drafts.iter().map(|draft| draft.name.clone()).collect();
        let queues = store.queue_ids(names).await?;
        for (draft, queue) in plan.drafts.into_iter().zip(queues) {
            let account = Arc::new(draft.into_account(queue, vault));
            catalog.queues.insert(queue, Arc::clone(&account));
            catalog.accounts.insert(account.name.clone(), account);
        }
        let mut refs: Vec<KindRef> = vec![];
        for (provider, kind) in catalog.registry.kinds() {
            refs.push(KindRef::Job(Arc::clone(provider), Arc::clone(kind)));
        }
        for provider in catalog.registry.providers() {
            for name in provider.credentials.keys() {
                refs.push(KindRef::Renewal(Arc::clone(provider), name.clone()));
            }
        }
        // Last: no definition can take its name.
        refs.push(KindRef::OnChange);
        for one in refs {
            let name = one.name();
            let id = store.kind_id(&name).await?;
            catalog.kinds.insert(id, one);
            catalog.kind_ids.insert(name, id);
        }
        Ok(catalog)
    }

    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    #[must_use]
    pub fn by_queue(&self, queue: QueueId) -> Option<&Arc<Account>> {
        self.queues.get(&queue)
    }

    /// The queue of the daemon's own jobs.
    #[must_use]
    pub const fn local(&self) -> QueueId {
        self.local
    }

    #[must_use]
    pub fn kind(&self, id: KindId) -> Option<&KindRef> {
        self.kinds.get(&id)
    }

    /// Whether a kind keeps a credential: such jobs go on as long as their account is configured.
    #[must_use]
    pub fn is_renewal(&self, id: KindId) -> bool {
        matches!(self.kind(id), Some(KindRef::Renewal(..)))
    }

    #[must_use]
    pub fn kind_id(&self, name: &str) -> Option<KindId> {
        self.kind_ids.get(name).copied()
    }

    /// The account meant where a job names none: the provider's only one, or its default.
    pub fn default_account(&self, provider: &str) -> Result<&Arc<Account>, String> {
        let of: Vec<&Arc<Account>> =
            self.accounts.values().filter(|one| one.provider.name == provider).collect();
        match of.as_slice() {
            [] => Err(format!("no account of {provider} is configured: add [accounts.{provider}]")),
            [only] => Ok(only),
            several => several.iter().find(|one| one.is_default).copied().ok_or_else(|| {
                let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
                format!(
                    "{provider} has several accounts and none is the default: name one of {}",
                    names.join(", ")
                )
            }),
        }
    }
}
