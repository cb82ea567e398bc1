INSERT INTO job_tags (tag, job)
SELECT t.value, j.seq
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e) AS s
CROSS JOIN jobs AS j ON j.id = substr(s.b, s.v->>0, 16), json_each(j.tags) AS t
WHERE s.v->>16 IS NOT NULL
ON CONFLICT DO NOTHING;
