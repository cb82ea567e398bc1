-- One occurrence: known, its job stored and the schedule moved on, or nothing of it. It is known by
-- its own key, and only who sees the schedule as it is now may run it.
INSERT INTO occurrences (schedule, at, fired_at, job)
SELECT name, ?, ?, ? FROM schedules WHERE name = ? AND next_at = ?
ON CONFLICT DO NOTHING
RETURNING at;
INSERT INTO jobs (id, salt, uniq, args, queue, kind, state, priority, run_at, ready, max_errors,
                  deadline, created_at, created_by, tags)
SELECT ?, ?, ?, ?, ?, ?, 0, ?, ?, 1, ?, ?, ?, ?, ?
WHERE EXISTS (SELECT 1 FROM occurrences WHERE schedule = ? AND at = ? AND job = ?)
ON CONFLICT DO NOTHING;
INSERT INTO job_tags (tag, job)
SELECT t.value, j.seq FROM jobs AS j, json_each(j.tags) AS t WHERE j.id = ? AND j.tags IS NOT NULL
ON CONFLICT DO NOTHING;
-- A live job does the same already (jobs_live): it is the occurrence's.
UPDATE occurrences SET job = coalesce(
  (SELECT j.id FROM jobs AS j WHERE j.queue = ? AND j.uniq = ? AND j.state <= 1), job)
WHERE schedule = ? AND at = ? AND job = ? AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?);
UPDATE schedules SET next_at = ? WHERE name = ? AND next_at = ?;
DELETE FROM occurrences WHERE schedule = ? AND at < (
  SELECT o.at FROM occurrences AS o WHERE o.schedule = ? ORDER BY o.at DESC LIMIT 1 OFFSET 199);
