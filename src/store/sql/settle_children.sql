-- Children are stored while their parent still holds its claim. A live twin elsewhere, or a sibling
-- before, keeps the natural key; the child is stored without it, so that its chain loses nothing.
INSERT INTO jobs (id, uniq, args, queue, kind, state, priority, run_at, ready, max_errors,
                  deadline, created_at, created_by, parent, root, tags)
SELECT substr(b, v->>0, 16),
       CASE WHEN nth > 1 OR EXISTS (SELECT 1 FROM jobs AS twin
                                    WHERE twin.queue = v->>5 AND twin.uniq = substr(b, v->>2, 16)
                                      AND twin.state <= 1)
            THEN NULL ELSE substr(b, v->>2, 16) END,
       substr(b, v->>3, v->>4), v->>5, v->>6, 0, v->>7, v->>8, v->>9, v->>10, v->>11, v->>12,
       v->>13, v->>14, v->>15, v->>16
FROM (SELECT n, s.v, s.b,
             row_number() OVER (PARTITION BY v->>5, substr(b, v->>2, 16) ORDER BY n) AS nth
      FROM (SELECT e.key AS n, e.value AS v, p.b AS b
            FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e) AS s
      CROSS JOIN jobs AS own ON own.seq = s.v->>14 AND own.generation = s.v->>19
        AND own.state = s.v->>20 AND (s.v->>21 IS NULL OR own.args_rev = s.v->>21))
ORDER BY n;
