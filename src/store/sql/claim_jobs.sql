-- Each queue within its allowance: one row of the list is [queue, count, max_priority]. The inner
-- list is bounded by the largest count and cut to each queue's own. A plain `LIMIT ?` would have the
-- statement compiled anew at each binding: SQLite plans by the value (`sqlite3ExprIsInteger`).
UPDATE jobs SET state = 1, generation = generation + 1, lease_until = ?, started_at = ?
WHERE seq IN (
  SELECT b.value
  FROM jsonb_each(?) AS a,
       json_each((SELECT json_group_array(seq) FROM (
         SELECT seq FROM jobs
         WHERE queue = a.value->>0 AND state = 0 AND ready = 1 AND priority <= a.value->>2
         ORDER BY priority, run_at LIMIT ? + 0))) AS b
  WHERE b.key < a.value->>1)
RETURNING seq, id, queue, kind, priority, generation, attempt, errors, max_errors, polls, run_at,
  created_at, created_by, deadline, parent, coalesce(root, seq),
  CASE WHEN root IS NULL THEN salt ELSE (SELECT r.salt FROM jobs AS r WHERE r.seq = jobs.root) END,
  args, args_rev,
  (SELECT max(o.n) FROM observations AS o WHERE o.job = jobs.seq),
  (SELECT o.status FROM observations AS o WHERE o.job = jobs.seq ORDER BY o.n DESC LIMIT 1),
  error_code, intent IS NOT NULL;
