-- Last of a settlement, for the statements before it look at the claim that this one ends.
-- A job that somebody cancelled while it ran is not queued again, however its attempt ended.
-- One that is queued as `outcome_unknown` is to find out what became of its request: its intent stays,
-- and a cancellation leaves it to a person.
UPDATE jobs SET
  state = CASE WHEN v->>4 <> 0 OR cancel IS NULL THEN v->>4
               WHEN v->>12 = 'outcome_unknown' THEN 3 ELSE 4 END, run_at = v->>5, ready = v->>6, attempt = v->>7, errors = v->>8, polls = v->>9,
  deadline = v->>10,
  finished_at = CASE WHEN v->>4 = 0 AND cancel = 1 THEN v->>18 ELSE v->>11 END,
  lease_until = NULL, cancel = NULL,
  intent = CASE WHEN v->>4 = 0 AND v->>12 = 'outcome_unknown' THEN intent END,
  error_code = coalesce(v->>12, error_code),
  error_at = coalesce(v->>13, error_at),
  error_message = CASE WHEN v->>12 IS NULL THEN error_message ELSE substr(b, v->>14, v->>15) END,
  result = coalesce(substr(b, v->>16, v->>17), result)
FROM (SELECT e.value AS v, p.b AS b FROM (SELECT ? AS j, ? AS b) AS p, jsonb_each(p.j) AS e) AS s
WHERE jobs.seq = s.v->>0 AND jobs.generation = s.v->>1 AND jobs.state = s.v->>2
  AND (s.v->>3 IS NULL OR jobs.args_rev = s.v->>3)
RETURNING seq;
