-- When a follow was last answered: how long it has been waited for since.
ALTER TABLE jobs ADD COLUMN polled_at INTEGER;

-- What is learned of when follows complete: sums over all follows of a kind, of nobody in
-- particular. Losing some of it costs polls, not jobs.
CREATE TABLE cadence (
  queue   INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  status  BLOB    NOT NULL,                  -- keyed hash of a status; empty: all together
  learned BLOB    NOT NULL,                  -- as `policy::cadence::packed` writes it
  at      INTEGER NOT NULL,
  PRIMARY KEY (queue, kind, status)
) STRICT, WITHOUT ROWID;

-- What a poll must be worth, by budget; in millionths.
CREATE TABLE prices (
  budget TEXT    NOT NULL PRIMARY KEY,
  price  INTEGER NOT NULL,
  at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
