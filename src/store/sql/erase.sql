-- Of a whole chain: what is personal goes, the skeleton and the tombstone of its key stay. What is
-- still live, as in a backup from before the erasure, ends here.
SELECT (SELECT count(*) FROM jobs WHERE seq = p.r OR root = p.r),
       (SELECT count(*) FROM artifacts
        WHERE job IN (SELECT seq FROM jobs WHERE seq = p.r OR root = p.r))
FROM (SELECT ? AS r) AS p;
DELETE FROM job_tags WHERE (tag, job) IN (
  SELECT t.value, j.seq FROM (SELECT ? AS r) AS p, jobs AS j, json_each(j.tags) AS t
  WHERE (j.seq = p.r OR j.root = p.r) AND j.tags IS NOT NULL);
UPDATE attempts SET message = NULL WHERE message IS NOT NULL AND job IN (
  SELECT j.seq FROM (SELECT ? AS r) AS p, jobs AS j WHERE j.seq = p.r OR j.root = p.r);
DELETE FROM observations WHERE job IN (
  SELECT j.seq FROM (SELECT ? AS r) AS p, jobs AS j WHERE j.seq = p.r OR j.root = p.r);
DELETE FROM artifacts WHERE job IN (
  SELECT j.seq FROM (SELECT ? AS r) AS p, jobs AS j WHERE j.seq = p.r OR j.root = p.r);
UPDATE jobs SET
  finished_at = CASE WHEN state <= 1 THEN ? ELSE finished_at END,
  state = CASE WHEN state <= 1 THEN 4 ELSE state END,
  salt = NULL, uniq = NULL, args = x'', args_rev = args_rev + 1, tags = NULL,
  error_message = NULL, result = NULL, lease_until = NULL, intent = NULL, cancel = NULL
WHERE seq IN (
  SELECT j.seq FROM (SELECT ? AS r) AS p, jobs AS j WHERE j.seq = p.r OR j.root = p.r);
INSERT INTO erasures (job, at, cut)
SELECT id, ?, ? FROM jobs WHERE seq = ?
ON CONFLICT (job) DO UPDATE SET cut = max(cut, excluded.cut);
