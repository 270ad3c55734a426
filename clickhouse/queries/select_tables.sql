-- The tables of this database with their rows, parts and bytes, as their parts say.
SELECT
  table.name AS name,
  toUInt64(sum(part.rows)) AS rows,
  count(part.name) AS parts,
  toUInt64(sum(part.bytes_on_disk)) AS bytes_on_disk,
  toUInt64(sum(part.data_uncompressed_bytes)) AS uncompressed_bytes,
  toUInt64(sum(part.data_compressed_bytes)) AS compressed_bytes
FROM system.tables AS table
LEFT JOIN (SELECT * FROM system.parts WHERE active AND database = currentDatabase()) AS part ON part.table = table.name
WHERE table.database = currentDatabase() AND table.engine LIKE '%MergeTree'
GROUP BY name
ORDER BY bytes_on_disk DESC, name
