-- Whole chains of which every job has ended, the last of them before a time: that of dead ones where
-- one of them is dead, else the other. Keys stay, with how their job ended.
INSERT INTO pruning (job, id, state)
SELECT j.seq, j.id, j.state
FROM (SELECT r.seq AS root, r.state = 3 OR EXISTS (
        SELECT 1 FROM jobs AS c WHERE c.root = r.seq AND c.state = 3) AS dead
      FROM json_each(?) AS e JOIN jobs AS r ON r.seq = e.value
      WHERE r.root IS NULL) AS s
JOIN (SELECT ? AS dead, ? AS other) AS cut
CROSS JOIN jobs AS j ON j.seq = s.root OR j.root = s.root
WHERE NOT EXISTS (
  SELECT 1 FROM jobs AS c
  WHERE (c.seq = s.root OR c.root = s.root)
    AND (c.state <= 1 OR coalesce(c.finished_at, 0) >= CASE WHEN s.dead THEN cut.dead ELSE cut.other END))
RETURNING id, state;
UPDATE keys SET ended = p.state FROM pruning AS p WHERE keys.job = p.id;
DELETE FROM job_tags WHERE (tag, job) IN (
  SELECT t.value, j.seq FROM pruning AS p CROSS JOIN jobs AS j ON j.seq = p.job, json_each(j.tags) AS t
  WHERE j.tags IS NOT NULL);
DELETE FROM attempts WHERE job IN (SELECT job FROM pruning);
DELETE FROM observations WHERE job IN (SELECT job FROM pruning);
DELETE FROM artifacts WHERE job IN (SELECT job FROM pruning);
DELETE FROM jobs WHERE seq IN (SELECT job FROM pruning);
DELETE FROM pruning;
