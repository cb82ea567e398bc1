-- Which earlier job each of the others met: by its key first, then by its natural key.
SELECT s.n, 0 AS live, k.job, k.request = s.request
FROM (SELECT e.key AS n, e.value->>5 AS queue, substr(p.b, e.value->>17, 16) AS hash,
             substr(p.b, e.value->>18, 16) AS request
      FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e
      WHERE e.value->>17 IS NOT NULL) AS s
CROSS JOIN keys AS k ON k.queue = s.queue AND k.hash = s.hash;
SELECT s.n, 1 AS live, j.id, 1
FROM (SELECT e.key AS n, e.value->>5 AS queue, substr(p.b, e.value->>2, 16) AS uniq
      FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e
      WHERE e.value->>2 IS NOT NULL) AS s
CROSS JOIN jobs AS j ON j.queue = s.queue AND j.uniq = s.uniq AND j.state <= 1;
-- After both were told apart: a key that came with a live natural key belongs to that live job.
UPDATE keys SET job = coalesce(
         (SELECT j.id FROM jobs AS j
          WHERE j.queue = s.queue AND j.uniq = s.uniq AND j.state <= 1), keys.job)
FROM (SELECT v->>5 AS queue, substr(b, v->>17, 16) AS hash, substr(b, v->>2, 16) AS uniq,
             substr(b, v->>0, 16) AS id
      FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e)
      WHERE v->>17 IS NOT NULL AND v->>2 IS NOT NULL) AS s
WHERE keys.queue = s.queue AND keys.hash = s.hash AND +keys.job = s.id
  AND NOT EXISTS (SELECT 1 FROM jobs AS own WHERE own.id = s.id);
