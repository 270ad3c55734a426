/**
 * The conformance checklist: what OTLP and its clients ask of a server, and what Spanledger does. The
 * tests that prove a row have its id at the beginning of their titles; `docs/reference/otlp.md` is made
 * of both.
 *
 * Sources: the OTLP specification 1.11 (opentelemetry-proto docs/specification.md), the proto files'
 * comments, and what the exporters of the SDKs and the Collector were seen to do.
 */

/** How binding it is: words of the specification, or that clients depend on it, or our own rule. */
export type Level = "MUST" | "SHOULD" | "MAY" | "de facto" | "ours";

export interface ConformanceRow {
  readonly id: string;
  readonly level: Level;
  readonly requirement: string;
  /** What Spanledger does, in the present tense. */
  readonly behaviour: string;
  /** Why the requirement is not met as a whole; left out when it is. */
  readonly reason?: string;
}

export interface ConformanceChapter {
  /** The letter that its ids begin with, and how many rows it has. */
  readonly letter: string;
  readonly title: string;
  readonly rows: readonly ConformanceRow[];
}

type Row = readonly [level: Level, requirement: string, behaviour: string, reason?: string];

/** Numbers the rows of a chapter from 01. */
function chapter(letter: string, title: string, rows: readonly Row[]): ConformanceChapter {
  return {
    letter,
    title,
    rows: rows.map(([level, requirement, behaviour, reason], index) => ({
      id: `${letter}${String(index + 1).padStart(2, "0")}`,
      level,
      requirement,
      behaviour,
      ...(reason === undefined ? {} : { reason }),
    })),
  };
}

const TRANSPORT = chapter("T", "Transport and paths", [
  [
    "MUST",
    "No compression and gzip on every transport",
    "Both, for all signals, over HTTP and gRPC",
  ],
  [
    "SHOULD",
    "Standard paths for the signals",
    "`/v1/traces`, `/v1/logs`, `/v1/metrics`; profiles are 404 until they are supported",
  ],
  [
    "MAY",
    "Other paths by configuration",
    "`SPANLEDGER_OTLP_PATH_PREFIX` puts a path in front; the standard ones stay",
  ],
  [
    "SHOULD",
    "HTTP/1.1; JSON and protobuf on one port by Content-Type; HTTP/2 may be offered",
    "HTTP/1.1 on 4318 for both encodings, gRPC on 4317; HTTP/2 on 4318 is refused with a Status",
  ],
  ["MUST", "Answers have the Content-Type of their request, errors too", "Every answer has it"],
  [
    "de facto",
    "That Content-Type has no parameters (Go compares the whole string)",
    "Written without",
  ],
  ["de facto", "Parameters and case of the request's type are ignored", "They are"],
  [
    "MUST",
    "Success is 200 with the signal's response; an empty request succeeds",
    "Also 0 bytes, `{}` and empty envelopes",
  ],
  ["MUST", "A full success leaves partial_success unset", "0 bytes of protobuf, `{}` of JSON"],
  [
    "SHOULD",
    "Connections are kept alive, many at once, pipelined too",
    "Idle ones for 120 s, longer than clients' pools; at most 10,000",
  ],
  [
    "MAY",
    "gzip for answers when it is accepted",
    "Answers are not compressed",
    "no answer is longer than a few kilobytes and most have 0 or 2 bytes, so there is nothing to gain",
  ],
  [
    "de facto",
    "Expect: 100-continue is answered; a refusal comes instead of it",
    "The head is judged first: 401, 413, 415 or 503 before the body is sent",
  ],
  ["de facto", "Chunked bodies", "Taken, whatever the chunks"],
  [
    "de facto",
    "Other methods on a signal's path are 405 with Allow",
    "405 with `Allow: POST`; OPTIONS of a listed origin is a preflight",
  ],
  ["de facto", "An unknown path is 404 with a Status", "In the encoding of the request"],
  [
    "de facto",
    "Near misses of a path are never authorised as another path",
    "Paths are compared byte for byte; anything else is 404",
  ],
  [
    "de facto",
    "A stop finishes what is in flight and takes nothing afterwards",
    "Open requests finish within the grace time; nothing is taken after the stop",
  ],
  [
    "de facto",
    "zstd and deflate are taken, others are refused with the list",
    "gzip, zstd, deflate; others 415",
  ],
]);

const BODIES = chapter("B", "Sizes and bad bodies", [
  [
    "MUST",
    "A limit before and after decompression: 413, or RESOURCE_EXHAUSTED without RetryInfo",
    "64 MiB unless `SPANLEDGER_MAX_BODY_BYTES` says else; inflating stops at the limit",
  ],
  ["MUST", "Answers stay below 4 MiB", "Messages are cut at 2,000 characters"],
  [
    "MUST",
    "What cannot be decoded is 400; a BadRequest should say what is wrong",
    "400, or INVALID_ARGUMENT, with a `google.rpc.BadRequest` in the Status",
  ],
  ["de facto", "An unknown Content-Type is 415", "With a Status in JSON"],
  ["de facto", "An unknown Content-Encoding is refused for good", "415"],
  [
    "de facto",
    "gzip that is none, is cut off, broken or followed by something is 400",
    "400; members that follow each other are one body",
  ],
  ["ours", "gzip of no bytes is 400", "400"],
  ["de facto", "Chains of encodings are 415", "415"],
  ["de facto", "A sender that goes away leaves nothing", "No row, no log line"],
]);

const ANSWERS = chapter("R", "Answers, partial success and errors", [
  [
    "MUST",
    "What is refused of a request is counted in partial_success, with words",
    "The count and up to ten reasons; the rest is stored",
  ],
  [
    "MUST",
    "A warning rejects nothing and has words",
    "For text, names, enums and limits that were mended",
  ],
  [
    "MUST",
    "partial_success is never for what may pass: clients do not send it again",
    "What may pass refuses the whole request and stores nothing",
  ],
  [
    "MUST",
    "Every 4xx and 5xx has a google.rpc.Status",
    "Also where Node's parser refuses (400, 408, 413, 431)",
  ],
  [
    "MUST",
    "Only 429, 502, 503 and 504 are for another try",
    "Only 503 is used; Python's exporter also retries 408",
  ],
  [
    "SHOULD",
    "Overload is 429 or 503, perhaps with Retry-After",
    "503 with `Retry-After: 1`, before the body is sent; never 429, on which Python drops",
  ],
  [
    "MUST",
    "gRPC: retryable codes only for what may pass",
    "UNAVAILABLE for what may pass; INVALID_ARGUMENT, UNAUTHENTICATED and RESOURCE_EXHAUSTED without RetryInfo for what will not",
  ],
  [
    "SHOULD",
    "gRPC: overload is UNAVAILABLE, perhaps with RetryInfo",
    "UNAVAILABLE with a RetryInfo of a second",
  ],
  [
    "de facto",
    "gRPC: an unexpected failure is not UNKNOWN, on which clients drop",
    "UNAVAILABLE, and nothing of it is told",
  ],
  [
    "de facto",
    "HTTP: an unexpected failure is not 500, on which clients drop",
    "503; 500 is never sent",
  ],
  [
    "de facto",
    "Statuses as in the Collector's table",
    "The same, with 413 and 415 where the Collector says 400",
  ],
  [
    "de facto",
    "A bad key is 401 with a challenge; keys that cannot be read are 503",
    "`WWW-Authenticate: Bearer`; 403 is not used while keys have no scopes",
  ],
  [
    "MUST",
    "Atomicity and exactly-once are not promised by OTLP: the server removes duplicates",
    "A span is identified by project, start, trace and span id, whatever batch or encoding it comes in",
  ],
]);

const PROTOBUF = chapter("D", "Protobuf", [
  [
    "MUST",
    "Unknown fields are skipped, groups too, to a bounded depth",
    "64 groups deep, then 400",
  ],
  ["MUST", "Repeated numbers packed and unpacked", "Both"],
  [
    "MUST",
    "The last member of a oneof counts; repeated messages merge",
    "Also resources that come twice or behind their spans",
  ],
  [
    "MUST",
    "Broken varints, field 0, wire types 6 and 7 are 400",
    "Also a known field of a wrong wire type",
  ],
  [
    "MUST",
    "A length beyond the message is 400 without allocating it",
    "Memory follows what has come, never what is declared",
  ],
  ["ours", "Text that is not UTF-8 costs no span", "U+FFFD in its place, with a warning"],
  ["MUST", "Ids of a wrong length or all zero are invalid", "Their span is refused alone"],
  [
    "ours",
    "An end before the start, or none, is no duration",
    "Duration 0; a span without a start is refused alone",
  ],
  ["MUST", "Unknown bits of flags are ignored", "They are"],
  [
    "MUST",
    "An empty AnyValue is a value; references to string tables are absent outside profiles",
    "Stored as empty; the references with a warning",
  ],
  [
    "ours",
    "Of a key that comes twice the last one counts",
    "For what is read of a span; the attributes are kept as they came",
  ],
  ["MAY", "Unspecified and unknown enum numbers are taken", "Kept as numbers"],
  ["MUST", "Times keep every nanosecond", "64-bit integers all the way"],
  [
    "SHOULD",
    "A log record without a time has the observed one, else that of receipt",
    "The observed one",
    "a record with neither time is refused in partial_success: with the time of receipt, the same record sent again would be another call",
  ],
  [
    "ours",
    "Nesting of values is bounded",
    "64 levels; deeper ones are replaced by a marker, with a warning",
  ],
]);

const JSON_ROWS = chapter("J", "JSON", [
  [
    "MUST",
    "Ids are hex of either case, other bytes base64",
    "Also URL-safe and unpadded base64; an id in base64 is told what it should be",
  ],
  [
    "MUST",
    "Enums are integers",
    "Known names are taken with a warning, unknown ones cost their span",
  ],
  ["MUST", "Unknown names are ignored", "Everywhere"],
  [
    "MUST",
    "Names are lowerCamelCase",
    "snake_case is taken with a warning, where it would otherwise be lost in silence",
  ],
  [
    "MUST",
    "64-bit integers as strings or numbers, written as strings",
    "No digit is lost, also of bare numbers beyond 2^53",
  ],
  ["MUST", "Doubles may be NaN and infinite as strings", "Also numeric strings and `1e999`"],
  [
    "MUST",
    "Integers may have an exponent or a zero fraction",
    "Taken; another fraction costs the record, in an attribute the attribute alone",
  ],
  ["MUST", "null is absent", "In every field and list"],
  ["de facto", "32-bit integers as strings", "Taken"],
  ["MUST", "An empty id is no id", "It costs its span; an empty parent is a root"],
  [
    "MUST",
    "What is not JSON is 400",
    "Also a byte order mark; of a name that comes twice the last one counts",
  ],
  ["ours", "Half surrogate pairs are never stored", "U+FFFD in their place, with a warning"],
  ["ours", "`__proto__` and its like are data", "Attribute keys never become object properties"],
  ["ours", "Depth is bounded", "1,024 levels, counted before parsing"],
]);

const GRPC = chapter("G", "gRPC", [
  ["MUST", "The Export methods of the three services", "By their full names"],
  ["MUST", "application/grpc only; unknown methods are UNIMPLEMENTED", "415 and UNIMPLEMENTED"],
  [
    "MUST",
    "gzip and identity; others UNIMPLEMENTED with the list",
    "The same; what is no gzip is INTERNAL",
  ],
  [
    "SHOULD",
    "Messages up to 64 MiB, larger ones RESOURCE_EXHAUSTED",
    "As sent and inflated, without allocating what is declared",
  ],
  [
    "de facto",
    "Pings of clients are answered; old connections are asked to come again",
    "Pings are never punished",
  ],
  ["de facto", "Keys come in the metadata", "`authorization` and `x-api-key`"],
  ["de facto", "After its deadline a call is not acknowledged", "Nor after its sender went away"],
  ["de facto", "grpc.health.v1", "Without a key; reflection is not offered"],
  ["de facto", "TLS, and certificates of senders", "Both, by settings; without them h2c"],
  [
    "ours",
    "Rapid resets, floods and stalled windows do no harm",
    "Streams, header lists and waits are bounded",
  ],
]);

const ORIGINS = chapter("O", "Browsers", [
  [
    "ours",
    "Off unless origins are listed; exact ones and `https://*.x`",
    "`SPANLEDGER_CORS_ORIGINS`; a star stands for whole names below a domain",
  ],
  [
    "de facto",
    "A preflight is answered without a key",
    "204 with POST, the headers of exporters, and two hours",
  ],
  ["ours", "Never credentials", "No credentials header; no star is ever sent"],
  ["de facto", "Vary: Origin", "On every answer while a list is set"],
  ["de facto", "Retry-After can be read by the page", "Exposed"],
  ["de facto", "Errors have the headers too", "Every answer after the head could be read"],
  ["de facto", "fetch with keepalive works", "It is a POST like any other"],
]);

/** The checklist, in the order of the page. */
export const CONFORMANCE: readonly ConformanceChapter[] = [
  TRANSPORT,
  BODIES,
  ANSWERS,
  PROTOBUF,
  JSON_ROWS,
  GRPC,
  ORIGINS,
];
