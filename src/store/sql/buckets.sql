INSERT INTO budget_buckets (budget, window_ms, boot, start_ms, wall_ms, spent, version)
SELECT e.value->>0, e.value->>1, e.value->>2, e.value->>3, e.value->>4, e.value->>5, e.value->>6
FROM jsonb_each(?) AS e
WHERE true
ON CONFLICT (budget, window_ms, boot, start_ms) DO UPDATE SET
  spent = excluded.spent, version = excluded.version
-- Rows may arrive out of order. The later count has all that the earlier one has, but for what was
-- given back.
WHERE excluded.version > version;
