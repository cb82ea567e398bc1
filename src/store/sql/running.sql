SELECT seq, id, queue, kind, generation, attempt, errors, max_errors, polls, run_at, created_at,
       coalesce(started_at, created_at), deadline, intent IS NOT NULL, cancel IS NOT NULL
FROM jobs WHERE state = 1 AND lease_until < ?;
