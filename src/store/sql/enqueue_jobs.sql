-- Not stored: what lost its key to an earlier job, or has a live twin (jobs_live).
INSERT INTO jobs (id, salt, uniq, args, queue, kind, state, priority, run_at, ready, max_errors,
                  deadline, created_at, created_by, tags)
SELECT substr(b, v->>0, 16), substr(b, v->>1, 16), substr(b, v->>2, 16), substr(b, v->>3, v->>4),
       v->>5, v->>6, 0, v->>7, v->>8, v->>9, v->>10, v->>11, v->>12, v->>13, v->>16
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e)
WHERE v->>17 IS NULL
   OR EXISTS (SELECT 1 FROM keys AS k
              WHERE k.queue = v->>5 AND k.hash = substr(b, v->>17, 16)
                AND k.job = substr(b, v->>0, 16))
ON CONFLICT DO NOTHING
RETURNING id;
