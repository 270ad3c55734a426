-- Fees beside tokens, and how many calls have them priced.
-- kind: metadata
ALTER TABLE usage_user_day_rollup {on_cluster}
  ADD COLUMN IF NOT EXISTS cost_fees Decimal(38, 12) COMMENT 'What is billed by the piece' CODEC(ZSTD(1)) AFTER cost_output_image,
  ADD COLUMN IF NOT EXISTS fees_priced_calls UInt64 COMMENT 'Calls with fees that have a price' CODEC(T64, ZSTD(1)) AFTER cost_fees
