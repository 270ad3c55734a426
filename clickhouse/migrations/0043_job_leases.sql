-- Which process runs the jobs of an installation; claims as in recompute_lease.
-- kind: metadata
CREATE TABLE IF NOT EXISTS job_leases {on_cluster}
(
  token String COMMENT 'One of each running process',
  until DateTime64(3, 'UTC') COMMENT 'The claim holds until then, by the clock of the engine',
  ver UInt64 COMMENT 'Later wins'
)
ENGINE = {replacing_merge_tree}(ver)
ORDER BY token
TTL toDateTime(until) + INTERVAL 1 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
