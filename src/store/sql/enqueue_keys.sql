-- A key is claimed before its job is stored; who comes second keeps nothing.
INSERT INTO keys (queue, hash, request, job)
SELECT v->>5, substr(b, v->>17, 16), substr(b, v->>18, 16), substr(b, v->>0, 16)
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e)
WHERE v->>17 IS NOT NULL
ON CONFLICT DO NOTHING;
