-- Each of the three reads one index alone. Priorities tell follows from calls.
SELECT queue, 0, count(*), min(run_at), count(*) FILTER (WHERE priority > 2)
FROM jobs WHERE state = 0 AND ready = 1 GROUP BY queue
UNION ALL
SELECT queue, 1, count(*), min(run_at), count(*) FILTER (WHERE priority > 2)
FROM jobs WHERE state = 0 AND ready = 0 GROUP BY queue
UNION ALL
SELECT queue, 2, count(*), NULL, 0 FROM jobs WHERE state = 1 GROUP BY queue;
