-- Each of the three reads one index alone.
SELECT queue, 0, count(*), NULL FROM jobs WHERE state = 0 AND ready = 1 GROUP BY queue
UNION ALL
SELECT queue, 1, count(*), min(run_at) FROM jobs WHERE state = 0 AND ready = 0 GROUP BY queue
UNION ALL
SELECT queue, 2, count(*), NULL FROM jobs WHERE state = 1 GROUP BY queue;
