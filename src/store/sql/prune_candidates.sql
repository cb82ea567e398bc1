-- Chains whose first job ended before a time, in the order in which it did, after a place; with the
-- size of the files that are with them. Whether they may go is decided when they do.
SELECT r.seq, r.finished_at,
  (SELECT coalesce(sum(length(a.sealed)), 0) FROM artifacts AS a
   WHERE a.job IN (SELECT r.seq UNION ALL SELECT c.seq FROM jobs AS c WHERE c.root = r.seq)),
  (SELECT coalesce(max(CASE WHEN c.state <= 1 THEN 9223372036854775807 ELSE c.finished_at END), 0)
   FROM jobs AS c WHERE c.root = r.seq),
  EXISTS (SELECT 1 FROM jobs AS c WHERE c.root = r.seq AND c.state = 3)
FROM jobs AS r
WHERE r.root IS NULL AND r.state >= 2 AND r.state = ? AND r.finished_at < ? AND (r.finished_at, r.seq) > (?, ?)
ORDER BY r.finished_at, r.seq LIMIT ? + 0;
