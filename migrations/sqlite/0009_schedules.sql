-- Where each schedule stands. What its jobs are is in the configuration.
CREATE TABLE schedules (
  name    TEXT    NOT NULL PRIMARY KEY,
  spec    TEXT    NOT NULL,                  -- cron expression and time zone that next_at is of
  next_at INTEGER                            -- the first occurrence that is not decided; NULL: none comes
) STRICT, WITHOUT ROWID;

-- Occurrences that were run: their own key, so that none is run twice. The newest are kept.
CREATE TABLE occurrences (
  schedule TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  fired_at INTEGER NOT NULL,
  job      BLOB    NOT NULL,                 -- the job's id
  PRIMARY KEY (schedule, at)
) STRICT, WITHOUT ROWID;
