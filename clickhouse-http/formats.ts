/**
 * The forms that an answer can have: those of the engine that need no file, schema or settings.
 *
 * Invariant: the name of a format that reaches the engine is one of this list.
 */

const TEXT = "text/plain; charset=UTF-8";
const TSV = "text/tab-separated-values; charset=UTF-8";
const CSV = "text/csv; charset=UTF-8";
const JSON_TYPE = "application/json; charset=UTF-8";
const LINES = "application/x-ndjson; charset=UTF-8";
const BYTES = "application/octet-stream";

/** Content types of the formats, by their names. */
const CONTENT_TYPES: Readonly<Record<string, readonly string[]>> = {
  [TSV]: [
    "TabSeparated",
    "TabSeparatedRaw",
    "TabSeparatedWithNames",
    "TabSeparatedWithNamesAndTypes",

    "TabSeparatedRawWithNames",
    "TabSeparatedRawWithNamesAndTypes",
    "TSV",
    "TSVRaw",
    "TSVWithNames",
    "TSVWithNamesAndTypes",
    "TSVRawWithNames",
    "TSVRawWithNamesAndTypes",
  ],
  [CSV]: ["CSV", "CSVWithNames", "CSVWithNamesAndTypes"],
  [JSON_TYPE]: [
    "JSON",
    "JSONStrings",
    "JSONCompact",
    "JSONCompactStrings",
    "JSONColumns",
    "JSONColumnsWithMetadata",
    "JSONCompactColumns",
    "JSONObjectEachRow",
  ],
  [LINES]: [
    "JSONEachRow",
    "JSONStringsEachRow",
    "JSONCompactEachRow",
    "JSONCompactStringsEachRow",

    "JSONCompactEachRowWithNames",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSONLines",
    "NDJSON",

    "JSONCompactStringsEachRowWithNames",
    "JSONCompactStringsEachRowWithNamesAndTypes",
  ],
  [BYTES]: [
    "Native",
    "RowBinary",
    "RowBinaryWithNames",
    "RowBinaryWithNamesAndTypes",
    "Parquet",
    "Arrow",
    "ArrowStream",
    "MsgPack",
  ],
  [TEXT]: [
    "Pretty",
    "PrettyCompact",
    "PrettyCompactMonoBlock",
    "PrettySpace",
    "PrettyMonoBlock",
    "PrettyNoEscapes",
    "PrettyCompactNoEscapes",
    "Vertical",
    "Values",
    "Markdown",
    "XML",
    "LineAsString",
    "RawBLOB",
    "Null",
  ],
};

const BY_NAME: ReadonlyMap<string, string> = new Map(
  Object.entries(CONTENT_TYPES).flatMap(([type, names]) => names.map((name) => [name, type])),
);

/** ClickHouse's own default. */
export const DEFAULT_FORMAT = "TabSeparated";

/** The content type of a format; undefined when it is not offered. */
export function contentTypeOf(format: string): string | undefined {
  return BY_NAME.get(format);
}

/** Names of all formats. */
export const FORMAT_NAMES: readonly string[] = [...BY_NAME.keys()];
