INSERT OR IGNORE INTO observations (job, n, at, polls, status)
SELECT v->>0, v->>4, v->>5, v->>6, substr(b, v->>7, v->>8)
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e) AS s
CROSS JOIN jobs AS own ON own.seq = s.v->>0 AND own.generation = s.v->>1
  AND own.state = s.v->>2 AND (s.v->>3 IS NULL OR own.args_rev = s.v->>3);
