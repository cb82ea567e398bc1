-- Last of a settlement, for the statements before it look at the claim that this one ends.
-- A job that somebody cancelled while it ran is not queued again, however its attempt ended.
UPDATE jobs SET
  state = CASE WHEN v->>4 = 0 AND cancel = 1 THEN 4 ELSE v->>4 END, run_at = v->>5, ready = v->>6, attempt = v->>7, errors = v->>8, polls = v->>9,
  deadline = v->>10,
  finished_at = CASE WHEN v->>4 = 0 AND cancel = 1 THEN v->>18 ELSE v->>11 END,
  polled_at = CASE WHEN v->>9 > polls THEN v->>18 ELSE polled_at END,
  lease_until = NULL, intent = NULL, cancel = NULL,
  error_code = coalesce(v->>12, error_code),
  error_at = coalesce(v->>13, error_at),
  error_message = CASE WHEN v->>12 IS NULL THEN error_message ELSE substr(b, v->>14, v->>15) END,
  result = coalesce(substr(b, v->>16, v->>17), result)
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e) AS s
WHERE jobs.seq = s.v->>0 AND jobs.generation = s.v->>1 AND jobs.state = s.v->>2
  AND (s.v->>3 IS NULL OR jobs.args_rev = s.v->>3)
RETURNING seq;
