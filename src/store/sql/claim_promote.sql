UPDATE jobs SET ready = 1
WHERE seq IN (SELECT seq FROM jobs WHERE state = 0 AND ready = 0 AND run_at <= ?
              ORDER BY run_at LIMIT ? + 0)
RETURNING queue;
