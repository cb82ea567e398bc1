INSERT INTO budget_buckets (budget, window_ms, boot, start_ms, wall_ms, spent)
SELECT e.value->>0, e.value->>1, e.value->>2, e.value->>3, e.value->>4, e.value->>5
FROM jsonb_each(?) AS e
WHERE true
ON CONFLICT (budget, window_ms, boot, start_ms) DO UPDATE SET
  -- Rows may arrive out of order, and what was spent ahead may have been given back: the higher
  -- word is the safe one.
  spent = max(spent, excluded.spent);
