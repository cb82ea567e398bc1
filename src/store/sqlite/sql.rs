//! The statements that are not read from a file of their own, named after the operation.

pub(super) const EXTEND: &str = include_str!("../sql/extend.sql");
pub(super) const RUNNING: &str = include_str!("../sql/running.sql");
pub(super) const JOB_COLUMNS: &str = include_str!("../sql/job_columns.sql");
pub(super) const ERASE: &str = include_str!("../sql/erase.sql");
pub(super) const DEPTHS: &str = include_str!("../sql/depths.sql");

pub(super) const QUEUE_ID: &str = "
    INSERT INTO queues (account) VALUES (?)
    ON CONFLICT (account) DO UPDATE SET account = account RETURNING id;";

/// `WHERE true` keeps `ON CONFLICT` from being read as a join's.
pub(super) const QUEUE_IDS: &str = "
    INSERT INTO queues (account) SELECT value FROM json_each(?) WHERE true
    ON CONFLICT (account) DO UPDATE SET account = account RETURNING account, id;";

pub(super) const KIND_ID: &str = "
    INSERT INTO kinds (name) VALUES (?)
    ON CONFLICT (name) DO UPDATE SET name = name RETURNING id;";

pub(super) const ACTOR_ID: &str = "
    INSERT INTO actors (who) VALUES (?)
    ON CONFLICT (who) DO UPDATE SET who = who RETURNING id;";

pub(super) const RECORD_INTENT: &str = "
    UPDATE jobs SET intent = generation
    WHERE seq = ? AND generation = ? AND state = 1 AND cancel IS NULL
    RETURNING seq;";

pub(super) const READY_QUEUES: &str = "
    SELECT q.id FROM queues AS q WHERE EXISTS
    (SELECT 1 FROM jobs AS j WHERE j.queue = q.id AND j.state = 0 AND j.ready = 1)";

pub(super) const CANCEL: &str = "
    UPDATE jobs SET
    cancel = CASE state WHEN 1 THEN 1 ELSE cancel END,
    finished_at = CASE state WHEN 0 THEN ? ELSE finished_at END,
    state = CASE WHEN state = 0 THEN iif(intent IS NULL, 4, 3) ELSE state END
    WHERE id = ? AND state <= 1 RETURNING seq, state;";

pub(super) const REQUEUE: &str = "
    UPDATE jobs SET state = 0, ready = ?, run_at = ?, errors = 0, deadline = ?,
    finished_at = NULL, intent = NULL, cancel = NULL
    WHERE id = ? AND state = ? AND generation = ?
    AND NOT EXISTS (SELECT 1 FROM jobs AS twin
    WHERE twin.queue = jobs.queue AND twin.uniq = jobs.uniq
    AND twin.state <= 1 AND twin.seq <> jobs.seq)
    RETURNING seq;";

pub(super) const WITHDRAW_INTENT: &str = "
    UPDATE jobs SET intent = NULL
    WHERE seq = ? AND generation = ? AND state = 1 RETURNING seq;";

pub(super) const RESCHEDULE: &str = "
    UPDATE jobs SET run_at = ?, ready = ? WHERE seq = ? AND state = 0
    RETURNING seq;";

pub(super) const REPLACE_ARGS: &str = "
    UPDATE jobs SET args = ?, args_rev = args_rev + 1
    WHERE seq = ? AND args_rev = ? AND state <= 1 RETURNING seq;";

pub(super) const RESULT: &str = "
    SELECT j.state,
    CASE WHEN j.root IS NULL THEN j.salt
    ELSE (SELECT r.salt FROM jobs AS r WHERE r.seq = j.root) END,
    j.result, k.name, q.account
    FROM jobs AS j JOIN kinds AS k ON k.id = j.kind JOIN queues AS q ON q.id = j.queue
    WHERE j.id = ?";

pub(super) const ATTEMPTS: &str = "
    SELECT generation, started_at, finished_at, outcome, code, message
    FROM attempts WHERE job = ? ORDER BY generation";

pub(super) const OBSERVATIONS: &str = "
    SELECT n, at, polls, status FROM observations WHERE job = ? ORDER BY n";

pub(super) const CHAIN: &str = "
    SELECT j.seq, j.id, j.parent, j.state, k.name, q.account
    FROM (SELECT seq, id, parent, state, kind, queue FROM jobs WHERE seq = ?
          UNION ALL SELECT seq, id, parent, state, kind, queue FROM jobs WHERE root = ?) AS j
    JOIN kinds AS k ON k.id = j.kind JOIN queues AS q ON q.id = j.queue
    ORDER BY 1";

pub(super) const ARTIFACTS: &str = "
    SELECT j.id, a.name, a.content_type, a.size, a.sha256
    FROM artifacts AS a JOIN jobs AS j ON j.seq = a.job
    WHERE a.job IN (SELECT value FROM json_each(?)) ORDER BY a.job, a.name";

pub(super) const ARTIFACT: &str = "
    SELECT j.id, a.name, a.content_type, a.size, a.sha256, a.sealed,
    CASE WHEN j.root IS NULL THEN j.salt
    ELSE (SELECT r.salt FROM jobs AS r WHERE r.seq = j.root) END
    FROM artifacts AS a JOIN jobs AS j ON j.seq = a.job
    WHERE j.id = ? AND a.name = ?";

pub(super) const COUNTS: &str = "
    SELECT state, count(*) FROM jobs GROUP BY state";

pub(super) const QUEUES: &str = "
    SELECT id, account, paused_by, gate_until, gate_code, gate_detail, breaker FROM queues";

pub(super) const SAVE_QUEUE: &str = "
    UPDATE queues SET paused_by = ?, gate_until = ?, gate_code = ?, gate_detail = ?, breaker = ?
    WHERE id = ?;";

pub(super) const GATE_TIMES: &str = "
    SELECT queue, kind, since, until FROM gate_times";

pub(super) const SAVE_GATE_TIME: &str = "
    INSERT OR REPLACE INTO gate_times (queue, kind, since, until) VALUES (?, ?, ?, ?);";

pub(super) const FORGET_GATE_TIME: &str = "
    DELETE FROM gate_times WHERE queue = ? AND kind = ? AND since = ?;";

pub(super) const KIND_GATES: &str = "
    SELECT queue, kind, until, code, detail FROM kind_gates";

pub(super) const OPEN_KIND_GATE: &str = "
    DELETE FROM kind_gates WHERE queue = ? AND kind = ?;";

pub(super) const KEEP_KIND_GATE: &str = "
    INSERT OR REPLACE INTO kind_gates (queue, kind, until, code, detail)
    VALUES (?, ?, ?, ?, ?);";

pub(super) const WAKE_KIND: &str = "
    UPDATE jobs SET run_at = ?, ready = 1
    WHERE queue = ? AND kind = ? AND state = 0 AND ready = 0
      AND error_code IN ('provider_changed', 'definition') RETURNING seq;";

pub(super) const CREDENTIALS: &str = "
    SELECT queue, name, generation, salt, value, sent_at, expires_at, renew_at,
    promised_until, errors, error_code, error_at, error_message, secrets
    FROM credentials";

pub(super) const SAVE_CREDENTIAL: &str = "
    INSERT OR REPLACE INTO credentials (queue, name, generation, salt, value,
    sent_at, expires_at, renew_at, promised_until, errors, error_code, error_at,
    error_message, secrets)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);";

pub(super) const LOGINS: &str = "
    SELECT login, refusals, doubts, distrust, at FROM logins";

pub(super) const SAVE_LOGIN: &str = "
    INSERT OR REPLACE INTO logins (login, refusals, doubts, distrust, at)
    VALUES (?, ?, ?, ?, ?);";

pub(super) const FORGET_LOGIN: &str = "
    DELETE FROM logins WHERE login = ?;";

pub(super) const SECRET_CHANGES: &str = "
    SELECT queue, name, pending, configured, salt, value, job, at FROM secret_changes";

pub(super) const FORGET_SECRET_CHANGE: &str = "
    DELETE FROM secret_changes WHERE queue = ? AND name = ? AND pending = ?;";

/// A change that is certain leaves no pending one behind.
pub(super) const SAVE_SECRET_CHANGE: &str = "
    DELETE FROM secret_changes WHERE queue = ? AND name = ?;
    INSERT INTO secret_changes (queue, name, pending, configured, salt, value, job, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?);";

pub(super) const SAVE_PENDING_SECRET: &str = "
    INSERT OR REPLACE INTO secret_changes (queue, name, pending, configured, salt, value, job, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?);";

pub(super) const SINKS: &str = "
    SELECT queue, credential, file, generation, at, job FROM sinks";

pub(super) const SAVE_SINK: &str = "
    INSERT OR REPLACE INTO sinks (queue, credential, file, generation, at, job)
    VALUES (?, ?, ?, ?, ?, ?);";

pub(super) const CADENCE: &str = "
    SELECT queue, kind, status, learned, at FROM cadence";

pub(super) const SAVE_CADENCE: &str = "
    INSERT OR REPLACE INTO cadence (queue, kind, status, learned, at)
    VALUES (?, ?, ?, ?, ?);";

pub(super) const PRICES: &str = "
    SELECT budget, price, at FROM prices";

pub(super) const SAVE_PRICE: &str = "
    INSERT OR REPLACE INTO prices (budget, price, at) VALUES (?, ?, ?);";

pub(super) const BUCKETS: &str = "
    SELECT budget, window_ms, boot, start_ms, wall_ms, spent, version FROM budget_buckets";

pub(super) const DROP_BUCKETS: &str = "
    DELETE FROM budget_buckets
    WHERE budget IN (SELECT value FROM json_each(?))
      AND (boot <> ? OR start_ms < ? - 2 * window_ms);";

pub(super) const ERASURES: &str = "
    SELECT job, at, cut FROM erasures";

pub(super) const ALL_CUT: &str = "
    UPDATE erasures SET cut = 1 WHERE cut = 0;";

/// Goes through the writer and does nothing: what was asked before is stored then.
pub(super) const BARRIER: &str = "
    SELECT 1;";

/// 256 kB: room for hundreds of small changes, so that the end of a full disk is not told too
/// soon.
pub(super) const PROBE: &str = "
    INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', randomblob(262144));
    DELETE FROM meta WHERE name = 'probe';";

/// Jobs that the daemon put off, leases and gates keep their distance from now.
macro_rules! step_times {
    () => {
        "
    UPDATE jobs SET run_at = run_at + ? WHERE state = 0 AND ready = 0 AND generation > 0;
    UPDATE jobs SET lease_until = lease_until + ? WHERE state = 1;
    UPDATE queues SET gate_until = gate_until + ? WHERE gate_until IS NOT NULL;
    INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?);"
    };
}

pub(super) const STEP_TIMES: &str = step_times!();

/// The same, and jobs made by a wrong clock: their deadlines only ever move away, their first runs
/// only nearer.
pub(super) const STEP_ALL: &str = concat!(
    "
    UPDATE jobs SET deadline = deadline + max(?, 0),
    run_at = CASE WHEN state = 0 AND ready = 0 AND generation = 0 AND run_at > ?
             THEN run_at + min(?, 0) ELSE run_at END
    WHERE state <= 1 AND created_at BETWEEN ? AND ?;",
    step_times!()
);

pub(super) const FIRE: &str = include_str!("../sql/fire.sql");
pub(super) const ENDED_CHAINS: &str = include_str!("../sql/prune_candidates.sql");
pub(super) const PRUNE: &str = include_str!("../sql/prune.sql");

pub(super) const SCHEDULES: &str = "
    SELECT s.name, s.spec, s.next_at, o.at, o.fired_at, o.job
    FROM schedules AS s LEFT JOIN occurrences AS o ON o.schedule = s.name
    AND o.at = (SELECT max(last.at) FROM occurrences AS last WHERE last.schedule = s.name)";

pub(super) const SAVE_SCHEDULE: &str = "
    INSERT OR REPLACE INTO schedules (name, spec, next_at) VALUES (?, ?, ?);";

pub(super) const MOVE_SCHEDULE: &str = "
    UPDATE schedules SET next_at = ? WHERE name = ? AND next_at = ? RETURNING name;";

pub(super) const FORGET_SCHEDULE: &str = "
    DELETE FROM schedules WHERE name = ?;
    DELETE FROM occurrences WHERE schedule = ?;";

pub(super) const TOMBSTONE: &str = "
    SELECT ended FROM keys WHERE job = ? AND ended IS NOT NULL LIMIT 1";

pub(super) const ATTEMPT_COUNTS: &str = "
    SELECT job, count(*) FROM attempts WHERE job > ? GROUP BY job ORDER BY job LIMIT ? + 0";

pub(super) const OBSERVATION_COUNTS: &str = "
    SELECT job, count(*) FROM observations WHERE job > ? GROUP BY job ORDER BY job LIMIT ? + 0";

pub(super) const TRIM_ATTEMPTS: &str = "
    DELETE FROM attempts WHERE job IN (SELECT value FROM json_each(?)) AND generation <= (
    SELECT a.generation FROM attempts AS a WHERE a.job = attempts.job
    ORDER BY a.generation DESC LIMIT 1 OFFSET ?);";

pub(super) const TRIM_OBSERVATIONS: &str = "
    DELETE FROM observations WHERE job IN (SELECT value FROM json_each(?)) AND n <= (
    SELECT o.n FROM observations AS o WHERE o.job = observations.job
    ORDER BY o.n DESC LIMIT 1 OFFSET ?);";

pub(super) const META: &str = "
    SELECT value FROM meta WHERE name = ?";

pub(super) const SET_META: &str = "
    INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?);";

pub(super) const DESCRIBE: &str = "
    SELECT sqlite_version(), j.journal_mode, s.synchronous
    FROM pragma_journal_mode AS j, pragma_synchronous AS s;";
