-- Times are integer milliseconds since the Unix epoch (UTC). Blobs named "sealed" below are
-- encrypted by the program; this file never sees what is in them.

-- The sealing key's check value, the equality key (sealed), the highest time seen.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One queue per account. A gate holds it shut until a time; a pause until a person's word.
CREATE TABLE queues (
  id          INTEGER PRIMARY KEY,
  account     TEXT NOT NULL UNIQUE,
  paused_by   TEXT,
  gate_until  INTEGER,
  gate_code   TEXT,
  gate_detail TEXT
) STRICT;

-- One kind of one queue held shut (`provider_changed`).
CREATE TABLE kind_gates (
  queue  INTEGER NOT NULL,
  kind   INTEGER NOT NULL,
  until  INTEGER,
  code   TEXT NOT NULL,
  detail TEXT,
  PRIMARY KEY (queue, kind)
) STRICT, WITHOUT ROWID;

-- Names that stand in many rows, once.
CREATE TABLE kinds  (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE actors (id INTEGER PRIMARY KEY, who TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE jobs (
  seq           INTEGER PRIMARY KEY,
  id            BLOB    NOT NULL UNIQUE,     -- UUIDv7
  queue         INTEGER NOT NULL,
  kind          INTEGER NOT NULL,
  state         INTEGER NOT NULL,            -- 0 queued 1 running 2 completed 3 dead 4 cancelled
  ready         INTEGER NOT NULL,            -- queued: 1 due, 0 waits for run_at
  priority      INTEGER NOT NULL,
  run_at        INTEGER NOT NULL,
  created_at    INTEGER NOT NULL,
  created_by    INTEGER NOT NULL,
  generation    INTEGER NOT NULL DEFAULT 0,  -- fencing: how often it was claimed
  attempt       INTEGER NOT NULL DEFAULT 0,
  errors        INTEGER NOT NULL DEFAULT 0,
  max_errors    INTEGER NOT NULL,
  polls         INTEGER NOT NULL DEFAULT 0,
  parent        INTEGER,                     -- seq
  root          INTEGER,                     -- seq of the chain's first job; NULL in it
  salt          BLOB,                        -- of the chain, only in its first job
  uniq          BLOB,                        -- natural or internal key, hashed
  args          BLOB    NOT NULL,            -- sealed: arguments, key, what was asked for more
  args_rev      INTEGER NOT NULL DEFAULT 0,
  deadline      INTEGER,
  started_at    INTEGER,
  finished_at   INTEGER,
  lease_until   INTEGER,
  intent        INTEGER,                     -- generation whose never-repeat request may be out
  cancel        INTEGER,                     -- asked while running
  tags          TEXT,
  error_code    TEXT,
  error_at      INTEGER,
  error_message BLOB,                        -- sealed
  result        BLOB                         -- sealed
) STRICT;

-- Ready and future jobs do not share an index: a million waiting follows must not slow a claim.
CREATE INDEX jobs_ready   ON jobs (queue, priority, run_at) WHERE state = 0 AND ready = 1;
CREATE INDEX jobs_future  ON jobs (run_at, queue, priority) WHERE state = 0 AND ready = 0;
CREATE INDEX jobs_running ON jobs (lease_until)             WHERE state = 1;
CREATE INDEX jobs_dead    ON jobs (id)                      WHERE state = 3;
CREATE INDEX jobs_root    ON jobs (root)                    WHERE root IS NOT NULL;
CREATE UNIQUE INDEX jobs_live ON jobs (queue, uniq) WHERE uniq IS NOT NULL AND state <= 1;

CREATE TABLE job_tags (
  tag TEXT    NOT NULL,
  job INTEGER NOT NULL,
  PRIMARY KEY (tag, job)
) STRICT, WITHOUT ROWID;

-- A client's key, kept for ever: the tombstone outlives its job.
CREATE TABLE keys (
  queue   INTEGER NOT NULL,
  hash    BLOB    NOT NULL,                  -- keyed hash of the key
  request BLOB    NOT NULL,                  -- keyed hash of kind and arguments as sent
  job     BLOB    NOT NULL,                  -- the job's id
  ended   INTEGER,                           -- the job's last state, once its row is gone
  PRIMARY KEY (queue, hash)
) STRICT, WITHOUT ROWID;

-- Executions that did not end in a snooze.
CREATE TABLE attempts (
  job         INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  outcome     TEXT    NOT NULL,
  code        TEXT,
  message     BLOB,                          -- sealed
  PRIMARY KEY (job, generation)
) STRICT, WITHOUT ROWID;

-- Changed statuses of a job, oldest first.
CREATE TABLE observations (
  job    INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  polls  INTEGER NOT NULL,
  status BLOB    NOT NULL,                   -- sealed
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
  job          INTEGER NOT NULL,
  name         TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  size         INTEGER NOT NULL,
  sha256       TEXT    NOT NULL,
  sealed       BLOB    NOT NULL,
  PRIMARY KEY (job, name)
) STRICT;

CREATE TABLE credentials (
  queue          INTEGER NOT NULL,
  name           TEXT    NOT NULL,
  generation     INTEGER NOT NULL DEFAULT 0, -- grows with each value obtained
  salt           BLOB    NOT NULL,
  value          BLOB,                       -- sealed; NULL: none, or dropped
  sent_at        INTEGER,
  expires_at     INTEGER,
  renew_at       INTEGER,
  promised_until INTEGER,                    -- a reader was told that it lives at least so long
  errors         INTEGER NOT NULL DEFAULT 0,
  error_code     TEXT,
  error_at       INTEGER,
  error_message  BLOB,                       -- sealed
  refusals       INTEGER NOT NULL DEFAULT 0, -- of the login, since the secrets last changed
  secrets        BLOB,                       -- keyed hash of the secrets that were refused
  PRIMARY KEY (queue, name)
) STRICT, WITHOUT ROWID;

-- Requests counted ahead of being sent, per budget, window and bucket.
CREATE TABLE budget_buckets (
  budget    TEXT    NOT NULL,
  window_ms INTEGER NOT NULL,
  boot      TEXT    NOT NULL,
  start_ms  INTEGER NOT NULL,                -- CLOCK_BOOTTIME within that boot
  wall_ms   INTEGER NOT NULL,                -- the same instant on the wall clock
  spent     INTEGER NOT NULL,
  PRIMARY KEY (budget, window_ms, boot, start_ms)
) STRICT, WITHOUT ROWID;
