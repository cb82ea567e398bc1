-- Chains whose data was erased, by the id of their first job.
CREATE TABLE erasures (
  job  BLOB    PRIMARY KEY,
  at   INTEGER NOT NULL,
  cut  INTEGER NOT NULL                      -- 1: backups made before cannot be opened any more
) STRICT, WITHOUT ROWID;
