-- Notices and channels without a last word: none was delivered or given up. Those that wait longest first.
SELECT
  notice.notice_id AS notice_id,
  notice.channel_id AS channel_id,
  notice.body AS body,
  done.attempts AS attempts,
  toInt64(done.next_attempt_ms) AS next_attempt_ms
FROM
(
  SELECT project_id, notice_id, created_at, body, arrayJoin(channel_ids) AS channel_id
  FROM alert_notices FINAL
  WHERE created_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
) AS notice
LEFT JOIN
(
  SELECT
    notice_id,
    channel_id,
    max(attempt) AS attempts,
    countIf(outcome != 'retrying') AS last_words,
    toUnixTimestamp64Milli(argMax(next_attempt_at, attempt)) AS next_attempt_ms
  FROM alert_deliveries
  GROUP BY notice_id, channel_id
) AS done ON done.notice_id = notice.notice_id AND done.channel_id = notice.channel_id
WHERE done.last_words = 0
ORDER BY notice.created_at, notice.notice_id, notice.channel_id
LIMIT {limit:UInt32}
