SELECT j.seq, j.id, j.queue, k.name, q.account, j.state, j.ready, j.priority, j.run_at,
       j.created_at, a.who, j.generation, j.attempt, j.errors, j.max_errors, j.polls,
       (SELECT p.id FROM jobs AS p WHERE p.seq = j.parent), coalesce(j.root, j.seq),
       CASE WHEN j.root IS NULL THEN j.salt
            ELSE (SELECT r.salt FROM jobs AS r WHERE r.seq = j.root) END,
       j.args, j.args_rev, j.deadline, j.started_at, j.finished_at, j.intent IS NOT NULL,
       j.cancel IS NOT NULL, j.tags, j.error_code, j.error_at, j.error_message,
       (SELECT o.status FROM observations AS o WHERE o.job = j.seq ORDER BY o.n DESC LIMIT 1),
       j.result IS NOT NULL,
       (SELECT max(o.n) FROM observations AS o WHERE o.job = j.seq),
       CASE WHEN j.root IS NULL THEN k.name
            ELSE (SELECT rk.name FROM jobs AS r JOIN kinds AS rk ON rk.id = r.kind
                  WHERE r.seq = j.root) END,
       CASE WHEN j.root IS NULL THEN q.account
            ELSE (SELECT rq.account FROM jobs AS r JOIN queues AS rq ON rq.id = r.queue
                  WHERE r.seq = j.root) END
FROM jobs AS j
JOIN kinds AS k ON k.id = j.kind
JOIN queues AS q ON q.id = j.queue
LEFT JOIN actors AS a ON a.id = j.created_by
