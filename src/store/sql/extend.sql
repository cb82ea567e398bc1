UPDATE jobs SET lease_until = ?
FROM (SELECT e.value AS v FROM jsonb_each(?) AS e) AS s
WHERE jobs.seq = s.v->>0 AND jobs.generation = s.v->>1 AND jobs.state = 1
RETURNING seq;
