-- First jobs of chains that have ended, the oldest first: what pruning looks at.
CREATE INDEX jobs_ended ON jobs (state, finished_at) WHERE root IS NULL AND state >= 2;

-- Which key belongs to a job that is pruned, or was.
CREATE INDEX keys_job ON keys (job);

-- The jobs that a transaction is about to prune; empty between two.
CREATE TABLE pruning (
  job   INTEGER PRIMARY KEY,
  id    BLOB    NOT NULL,
  state INTEGER NOT NULL
) STRICT;
