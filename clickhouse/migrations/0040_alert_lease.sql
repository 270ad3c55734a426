-- Who may look at budgets and rules and deliver notices: two at once on one server would tell everything
-- twice. As recompute_lease: a claim is a row, and who finds no other live claim after its own is the holder.
-- kind: metadata
CREATE TABLE IF NOT EXISTS alert_lease {on_cluster}
(
  token String COMMENT 'One of each process',
  until DateTime64(3, 'UTC') COMMENT 'The claim holds until then, by the clock of the engine',
  ver UInt64 COMMENT 'Later wins'
)
ENGINE = {replacing_merge_tree}(ver)
ORDER BY token
TTL toDateTime(until) + INTERVAL 1 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
