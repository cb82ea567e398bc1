-- The circuit breaker of a queue, as JSON; NULL while it is closed.
ALTER TABLE queues ADD COLUMN breaker TEXT;

-- When a queue, or one kind of it, was held shut: such time does not use up a deadline.
CREATE TABLE gate_times (
  queue INTEGER NOT NULL,
  kind  INTEGER NOT NULL,  -- 0: the whole queue
  since INTEGER NOT NULL,
  until INTEGER,           -- NULL: it still is
  PRIMARY KEY (queue, kind, since)
) STRICT, WITHOUT ROWID;

-- The order in which a bucket's counts were made. Writes may arrive out of it.
ALTER TABLE budget_buckets ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
