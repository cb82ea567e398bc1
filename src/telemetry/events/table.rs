//! Every event there is: the one list from which the code's names, the page for operators
//! (docs/events.md) and the journal's catalog (systemd/attendant.catalog) are made.
//!
//! A `MESSAGE_ID` is made once (`journalctl --new-id128`) and never changes, whatever else does:
//! filters and catalogs of operators name it.

use super::Priority;

macro_rules! events {
    ($($name:ident = $text:literal, $priority:ident {
        id: $id:literal,
        says: $says:literal,
        fields: $fields:literal,
        when: $when:literal,
        todo: $todo:literal,
    })*) => {
        /// The names that logs, metrics and streams use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Name { $(#[doc = $when] $name,)* }

        impl Name {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            #[must_use]
            pub const fn text(self) -> &'static str {
                self.about().text
            }

            #[must_use]
            pub const fn about(self) -> &'static About {
                match self {
                    $(Self::$name => &About {
                        text: $text,
                        message_id: $id,
                        priority: Priority::$priority,
                        says: $says,
                        fields: $fields,
                        when: $when,
                        todo: $todo,
                    },)*
                }
            }
        }
    };
}

/// What is to be known of an event.
#[derive(Debug)]
pub struct About {
    pub text: &'static str,
    /// 128 random bits in hexadecimal.
    pub message_id: &'static str,
    /// Where nothing else is said of the single case.
    pub priority: Priority,
    /// As its line in the journal begins, after whom it is about.
    pub says: &'static str,
    /// The fields that it may have.
    pub fields: &'static str,
    /// When it comes, in words for operators.
    pub when: &'static str,
    /// What an operator is to do.
    pub todo: &'static str,
}

events! {
    DaemonStarted = "daemon.started", Notice {
        id: "d620c716669549c3bb3d3887f871b304",
        says: "the daemon starts",
        fields: "",
        when: "The daemon has read its configuration and begins to open its database.",
        todo: "Nothing. Without a `daemon.ready` soon after, the error that follows says what is \
               wrong.",
    }
    DaemonReady = "daemon.ready", Notice {
        id: "68625280b4b24c0e8cc66a4b097ba357",
        says: "ready",
        fields: "",
        when: "The socket answers, and work goes on where it stood.",
        todo: "Nothing.",
    }
    DaemonReloaded = "daemon.reloaded", Notice {
        id: "b8c4d8e80eca4d83a721ef35bca004b4",
        says: "reloaded",
        fields: "actor",
        when: "Configuration, definitions and file secrets were read anew and are in force.",
        todo: "Nothing.",
    }
    DaemonReloadRefused = "daemon.reload_refused", Err {
        id: "e0ad4c390485429b8e7e738acf755e81",
        says: "reload refused",
        fields: "actor error_code",
        when: "What was to be loaded is bad; the old configuration stays in force.",
        todo: "Mend what the message names (`attendant check` shows it all), then `attendant \
               reload`.",
    }
    DaemonRekeying = "daemon.rekeying", Notice {
        id: "30271f1405d04c99a9822ab59644c0f2",
        says: "rekeying",
        fields: "actor",
        when: "Everything is being sealed with a new key; work goes on meanwhile.",
        todo: "Nothing. It is taken up again after a restart.",
    }
    DaemonRekeyed = "daemon.rekeyed", Notice {
        id: "0c69e9a341494b53868b983374784859",
        says: "rekeyed",
        fields: "actor",
        when: "Everything is sealed with the new key; the old one opens nothing here.",
        todo: "Keep a copy of the new key, and make a backup: the new key opens none from before.",
    }
    DaemonStalled = "daemon.stalled", Err {
        id: "46e4cf1750454c28bedebdc0a492745a",
        says: "stalled",
        fields: "",
        when: "A part of the daemon goes round no more, while the rest of it lives. systemd's \
               watchdog is not fed until it does.",
        todo: "Nothing at first: unless it goes on, systemd starts the daemon anew, and its jobs \
               go on. Where it comes again, report the part that the message names, with what the \
               disk and the database were doing then.",
    }
    DaemonBackedUp = "daemon.backed_up", Notice {
        id: "bdead2b1621740c4b6f3b70ac40de6ba",
        says: "a backup was made",
        fields: "actor",
        when: "A copy of everything was made: `actor` asked for it, or, without one, before a new \
               version changes the schema of the database.",
        todo: "Nothing. The message says where the latter is; the three newest are kept.",
    }
    DaemonDraining = "daemon.draining", Notice {
        id: "477d350363fa4c27ab033bdd2e89cb3d",
        says: "stopping",
        fields: "",
        when: "The daemon was asked to stop: nothing new is begun, running attempts may end.",
        todo: "Nothing. What does not end in time is taken up at the next start.",
    }
    DaemonStopped = "daemon.stopped", Notice {
        id: "71d89fc2e62345ce9d7778cf9f15ea13",
        says: "stopped",
        fields: "",
        when: "Everything is on disk; the process ends.",
        todo: "Nothing.",
    }
    ClockStepped = "daemon.clock_stepped", Warning {
        id: "ab818b414fa246708b534cdb99c58f42",
        says: "the wall clock was stepped",
        fields: "",
        when: "The wall clock was moved by more than a moment. What the daemon itself put off \
               keeps its distance.",
        todo: "Nothing, if it was meant. If it comes again and again, look at the machine's time \
               synchronisation.",
    }
    ClockDoubtful = "daemon.clock_doubtful", Warning {
        id: "2c52af80da77481db43d8e78345b02bb",
        says: "the time is in doubt",
        fields: "",
        when: "The clock jumped by more than an hour (or the machine was off for so long): no \
               deadline ends a job and nothing is revoked, pruned or removed until the time is \
               confirmed.",
        todo: "It is confirmed by a provider's answer within minutes. If not, check the clock and \
               say `attendant queues resume --all`.",
    }
    ClockConfirmed = "daemon.clock_confirmed", Notice {
        id: "bf125de65f5f45468b422f37c4bb4174",
        says: "the time is confirmed",
        fields: "actor",
        when: "A provider or an operator confirmed the time: deadlines count again.",
        todo: "Nothing.",
    }
    JobEnqueued = "job.enqueued", Info {
        id: "0bbac6c41e3848adb352aefe317da57f",
        says: "enqueued",
        fields: "job_id kind account credential next_run_at actor",
        when: "A job is on disk. `actor` asked for it; `attendant` where it came of another job.",
        todo: "Nothing.",
    }
    JobAttemptStarted = "job.attempt_started", Debug {
        id: "4b2e5efe2255473fbd8a4a0bbb0031f0",
        says: "attempt started",
        fields: "job_id kind account credential attempt generation",
        when: "An attempt of a job began.",
        todo: "Nothing.",
    }
    JobSnoozed = "job.snoozed", Debug {
        id: "ebf32c99700b40bab5caf736bfe49706",
        says: "put off",
        fields: "job_id kind account attempt generation outcome next_run_at elapsed_ms error_code",
        when: "A poll found nothing new, a renewal is done until the next, or a gate, a budget or \
               a missing credential turned the job away. It cost neither an attempt nor an error.",
        todo: "Nothing. `attendant jobs show ID` says what it waits for.",
    }
    JobStatusChanged = "job.status_changed", Info {
        id: "6388c862fedc429c85202e5899a9d712",
        says: "status is now",
        fields: "job_id kind account status",
        when: "The provider shows another status of what is followed.",
        todo: "Nothing.",
    }
    JobRetryScheduled = "job.retry_scheduled", Warning {
        id: "d9033ca273e245e58e78ca620233f800",
        says: "failed, to be tried again",
        fields: "job_id kind account attempt generation outcome next_run_at elapsed_ms error_code actor",
        when: "An attempt failed and will be made again; or, with an `actor`, somebody asked for \
               another. While a provider fails only the first is told at this priority (see \
               [Quiet](#quiet)).",
        todo: "Nothing, if it passes. `attendant jobs show ID` has the provider's words.",
    }
    JobCompleted = "job.completed", Info {
        id: "eefeb913f66644df9a934191107ee84e",
        says: "completed",
        fields: "job_id kind account attempt generation outcome elapsed_ms error_code",
        when: "A job ended well. With `error_code` `cancelled`: it was cancelled too late, and \
               nothing follows.",
        todo: "Nothing.",
    }
    JobDead = "job.dead", Warning {
        id: "218004d8c24d4d4999d985eb6109aff2",
        says: "dead",
        fields: "job_id kind account attempt generation outcome next_run_at elapsed_ms error_code actor",
        when: "A job ended in failure and is kept. `err` where a person must decide \
               (`outcome_unknown`) or the fault is on this side (`definition`, `internal`, \
               `lost_lease`, `command_failed`); `warning` where the provider refused or failed, \
               or the deadline passed.",
        todo: "`attendant jobs show ID` says why. Mend the cause, then `attendant jobs retry ID`. \
               For `outcome_unknown` look at the provider's side first, then `attendant jobs \
               resolve ID --happened …` or `--not-sent`.",
    }
    JobCancelAsked = "job.cancel_asked", Info {
        id: "b7c94c5f0d1b4d4c9f2b6a3f7e1d8052",
        says: "is to be cancelled",
        fields: "job_id kind account attempt actor",
        when: "Somebody cancelled a job that runs: it ends once its request has.",
        todo: "Nothing.",
    }
    JobCancelled = "job.cancelled", Info {
        id: "20fd35745ef84d858dd0f4de68b00cf2",
        says: "cancelled",
        fields: "job_id kind account attempt generation outcome next_run_at elapsed_ms error_code actor",
        when: "Somebody cancelled a job.",
        todo: "Nothing.",
    }
    JobResolved = "job.resolved", Notice {
        id: "052aed8d31684901904d31a25cfbb093",
        says: "resolved",
        fields: "job_id kind account attempt next_run_at actor",
        when: "A person said what became of a job whose outcome nobody knew.",
        todo: "Nothing.",
    }
    JobErased = "job.erased", Notice {
        id: "0ed13d601d9547bd96d3af441b311ebb",
        says: "erased",
        fields: "job_id kind account attempt actor next_run_at",
        when: "The personal data of a job's chain was made unreadable.",
        todo: "Replace copies of the sealing key, so that it holds in backups too.",
    }
    JobPruned = "job.pruned", Info {
        id: "e230d14de61243c4b5e6a0ebe22f2b62",
        says: "pruned",
        fields: "",
        when: "Chains that ended longer ago than `[retention]` keeps them were forgotten. One line \
               for each pass that found some.",
        todo: "Nothing.",
    }
    CredentialObtained = "credential.obtained", Info {
        id: "fe89c69f326746abb4402ff03376d43d",
        says: "obtained",
        fields: "account credential generation next_run_at",
        when: "There is a fresh value, in use unless the message says otherwise. At debug priority \
               where it is a renewal in time: then the one before it is still good.",
        todo: "Nothing.",
    }
    CredentialRenewalAsked = "credential.renewal_asked", Info {
        id: "3e8a5d0c2f7b4b6e8d194c7a65f0e2b3",
        says: "is to be renewed now",
        fields: "account credential actor",
        when: "Somebody asked for a renewal now.",
        todo: "Nothing.",
    }
    CredentialRenewalFailed = "credential.renewal_failed", Warning {
        id: "41ac7a483c2241f79dc707f1a021566f",
        says: "could not be renewed",
        fields: "account credential generation error_code next_run_at",
        when: "A renewal failed and will be tried again, with growing urgency towards the expiry. \
               While a provider fails only the first is told at this priority (see \
               [Quiet](#quiet)).",
        todo: "Nothing, if it passes: the value in use goes on. `attendant credentials show \
               ACCOUNT/NAME` says more.",
    }
    CredentialAtRisk = "credential.at_risk", Err {
        id: "750418f2581d476391fe3b8c8b67ed2b",
        says: "at risk",
        fields: "account credential generation error_code",
        when: "The value in use has expired or is about to, and no other could be had since its \
               renewal was due. Told once for each value, however noisy the hour.",
        todo: "See the cause in the message and `attendant credentials show ACCOUNT/NAME`; \
               programs that use the value stop working at its expiry. Renewal goes on by itself; \
               `attendant credentials renew ACCOUNT/NAME` tries at once.",
    }
    CredentialPublished = "credential.published", Info {
        id: "a3d6c36f5f7c4408a4588a1e36cf88b3",
        says: "published",
        fields: "account credential generation next_run_at outcome",
        when: "A rotated value is in use; the one before it is revoked after the overlap.",
        todo: "Nothing. `outcome` `unverified` says that the provider's list did not show it.",
    }
    CredentialRevoked = "credential.revoked", Info {
        id: "0acaf083f5404f499f42ca772384916b",
        says: "revoked",
        fields: "account credential generation",
        when: "A value out of use was revoked at the provider.",
        todo: "Nothing.",
    }
    CredentialWithdrawn = "credential.withdrawn", Notice {
        id: "a6fd06e40985465f832790bc681f2484",
        says: "withdrawn",
        fields: "account credential generation actor",
        when: "An operator took a value out of use.",
        todo: "The message says whether the provider revokes it or it stays valid there until it \
               expires.",
    }
    CredentialNotRevoked = "credential.not_revoked", Warning {
        id: "0adeb7ac346f4d7893c9103b04d7c836",
        says: "could not be revoked",
        fields: "account credential generation error_code next_run_at",
        when: "A value out of use could not be revoked yet; it is tried again. While a provider \
               fails only the first is told at this priority.",
        todo: "If it goes on, revoke it in the provider's portal.",
    }
    CredentialOrphaned = "credential.orphaned", Warning {
        id: "f72ac972601e4f65a9d28830f7371372",
        says: "orphans",
        fields: "account credential generation",
        when: "The provider has values that a create with a lost reply may have made.",
        todo: "Revoke them in the provider's portal, or let them expire.",
    }
    CredentialLockedOut = "credential.locked_out", Err {
        id: "8a670090769a44b1b59ea95c22572128",
        says: "locked out",
        fields: "account credential generation error_code",
        when: "The provider refused the login too often. Its secrets are left alone, so that the \
               account is not locked there.",
        todo: "Mend the secret (a changed one is tried at the next start or reload) or say \
               `attendant credentials renew ACCOUNT/NAME`.",
    }
    SinkWritten = "sink.written", Info {
        id: "2bacd9f8bb444b9a9b7e687827ee059a",
        says: "written",
        fields: "account credential generation",
        when: "A value is in another program's file.",
        todo: "Nothing.",
    }
    SinkFailing = "sink.failing", Err {
        id: "beff20f6efc345509440f2ed2f761fb1",
        says: "not written",
        fields: "account credential generation error_code next_run_at",
        when: "Another program's file could not be written; it is tried again within a minute. \
               Told at the 1st, 2nd, 4th, 8th … failure in a row.",
        todo: "Mend what the message names: the folder, its rights, its owner.",
    }
    SinkRemoved = "sink.removed", Notice {
        id: "eb00a749707548d3987a21a2acb4a45a",
        says: "removed",
        fields: "account credential generation",
        when: "A value expired without a successor, and its file was removed (`on_expire = \
               \"remove\"`).",
        todo: "See why there is no successor: `attendant credentials show ACCOUNT/NAME`.",
    }
    SecretChanged = "credential.secret_changed", Warning {
        id: "1047d0ba6c234483b246379d12837dec",
        says: "changed at the provider",
        fields: "account job_id",
        when: "A job changed a secret at the provider: the configuration has the old one.",
        todo: "Put the new secret where the configuration reads it, as the message says.",
    }
    SecretExpiring = "secret.expiring", Warning {
        id: "0f8b668c74e7429395b507fc2456ee71",
        says: "ends soon",
        fields: "account",
        when: "A secret whose `expires` is written in the configuration ends within 14 days, or \
               has. Told once a day.",
        todo: "Get a new one from the provider and put it where the configuration reads it.",
    }
    QueueGated = "queue.gated", Warning {
        id: "73c6a15570f5498f98892e6c6fc85292",
        says: "gate shut",
        fields: "account kind error_code next_run_at",
        when: "An account's jobs wait: the provider asked to wait (`rate_limited` or another \
               code), fails (`breaker_open`), or has changed (`provider_changed`, one kind only). \
               Costs the jobs nothing. While a provider fails only the first of the first two is \
               told at this priority.",
        todo: "`provider_changed`: mend the definition, or `attendant queues resume ACCOUNT`. \
               Else nothing: it opens by itself.",
    }
    QueueOpened = "queue.opened", Notice {
        id: "a1f5655b39a34fa984d4c8d423aef686",
        says: "gate open",
        fields: "account",
        when: "The provider answered a probe: jobs go on, few at first. At debug \
               priority where `provider.recovered` is to follow when it holds.",
        todo: "Nothing.",
    }
    QueuePaused = "queue.paused", Notice {
        id: "e35bd280631f4c1583e6b563bef91e9d",
        says: "paused",
        fields: "account actor",
        when: "Somebody paused an account's queue.",
        todo: "`attendant queues resume ACCOUNT` when it may go on.",
    }
    QueueResumed = "queue.resumed", Notice {
        id: "91e8a6c48696495b90e216945922c108",
        says: "resumed",
        fields: "account actor",
        when: "Somebody opened an account's queue.",
        todo: "Nothing.",
    }
    ProviderFailing = "provider.failing", Warning {
        id: "c499dddaef9849688b1a7fb4a6f86e44",
        says: "still failing",
        fields: "account error_code outcome next_run_at elapsed_ms",
        when: "A summary while a provider goes on failing, at growing intervals (after 5, 15 and \
               30 minutes, 1 hour, then every 2 hours): since when, how many requests failed and \
               how, how many jobs wait, when the next try is. `elapsed_ms` counts from the first \
               failure.",
        todo: "Look at the provider's status page. Nothing is lost meanwhile: jobs wait without \
               using up attempts or deadlines. Values about to expire are told as \
               `credential.at_risk`.",
    }
    ProviderRecovered = "provider.recovered", Notice {
        id: "6b79f2bdca3940a89e050ed8a878135f",
        says: "is back",
        fields: "account elapsed_ms",
        when: "A provider that failed answers again, and has for half a minute: how long it \
               failed, and how many requests.",
        todo: "Nothing: what waited goes on by itself. Jobs that did not survive it have their \
               own `job.dead`.",
    }
    ScheduleFired = "schedule.fired", Info {
        id: "bf777b9020194379a8fe526d637331f5",
        says: "fired",
        fields: "account kind job_id next_run_at actor",
        when: "An occurrence of a schedule became a job.",
        todo: "Nothing.",
    }
    ScheduleMisfired = "schedule.misfired", Warning {
        id: "496443577fee4ee28a414932f8b6c1b2",
        says: "missed",
        fields: "account kind next_run_at outcome",
        when: "Occurrences of a schedule passed while nothing ran.",
        todo: "The message says what became of them, as the schedule's `misfire` has it.",
    }
    StoreTrouble = "store.trouble", Err {
        id: "176ccea2d9a04e9486ebd618042bc8e5",
        says: "trouble",
        fields: "",
        when: "The database cannot be written or read. Nothing new is begun; what was answered is \
               kept.",
        todo: "As the message says: make room on the disk, end what locks the database, or \
               restore a backup.",
    }
    StoreRecovered = "store.recovered", Notice {
        id: "0cf3906fb4d0402d940f84d993955b9e",
        says: "works again",
        fields: "",
        when: "The database takes writes again.",
        todo: "Nothing.",
    }
    AccessRefused = "access.refused", Warning {
        id: "0fb374271df049068486682328ce1e7e",
        says: "refused",
        fields: "actor",
        when: "Somebody was refused, on the socket or on TCP; told once a minute of each at most, \
               with how many more there were.",
        todo: "If they should be let in, `[[api.allow]]` or `[[api.tokens]]` in the configuration \
               (docs/access.md).",
    }
}
