INSERT OR REPLACE INTO artifacts (job, name, content_type, size, sha256, sealed)
SELECT v->>0, v->>4, v->>5, v->>6, v->>7, substr(b, v->>8, v->>9)
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e) AS s
CROSS JOIN jobs AS own ON own.seq = s.v->>0 AND own.generation = s.v->>1
  AND own.state = s.v->>2 AND (s.v->>3 IS NULL OR own.args_rev = s.v->>3);
