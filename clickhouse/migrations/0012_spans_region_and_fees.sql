-- Where the provider ran a call, what it billed by the piece, and the two indexes that the counting
-- rules need: twins are found by the id of the response, new spans by their sequence.
-- kind: metadata
ALTER TABLE spans {on_cluster}
  ADD COLUMN IF NOT EXISTS region LowCardinality(String) COMMENT 'As the provider prices it; empty when unknown' AFTER service_tier,
  ADD COLUMN IF NOT EXISTS fee_units Map(LowCardinality(String), UInt32) COMMENT 'Pieces billed beside tokens, by kind' CODEC(ZSTD(1)) AFTER tokens_output_image,
  ADD COLUMN IF NOT EXISTS fees_priced UInt8 COMMENT '1: there are fee units and all have a price' AFTER cost_output_image,
  ADD COLUMN IF NOT EXISTS cost_fees Decimal(18, 12) COMMENT 'Cost of the fee units' CODEC(ZSTD(1)) AFTER fees_priced,
  ADD INDEX IF NOT EXISTS ix_response_id response_id TYPE bloom_filter(0.01) GRANULARITY 1,
  ADD INDEX IF NOT EXISTS ix_ingest_seq ingest_seq TYPE minmax GRANULARITY 1
