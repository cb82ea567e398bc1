-- How far a credential has been handed to a file of another program: the last generation that was
-- written there and, where the sink has a command, whose job was stored. A generation that was
-- published and is not here yet is handed over at the next start.
CREATE TABLE sinks (
  queue      INTEGER NOT NULL,
  credential TEXT    NOT NULL,
  file       TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  job        BLOB,                           -- of its command; the job's id
  PRIMARY KEY (queue, credential, file)
) STRICT, WITHOUT ROWID;
