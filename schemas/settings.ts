/**
 * Every setting of the programs: name, default, limits and meaning. All are optional. One list for
 * the reader (`cli/config.ts`), the help text and `docs/reference/settings.md`.
 */
import { z } from "zod";
import { address, flag, fraction, integer, origins, smtpUrl } from "./setting-types.ts";

export type { Address } from "./setting-types.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export interface Setting {
  readonly schema: z.ZodType;
  /** The default, as one would write it; null when the setting is unset by default. */
  readonly default: string | null;
  readonly description: string;
  /** Never printed. */
  readonly secret?: boolean;
}

/** The settings in the order people meet them. */
export const SETTINGS = {
  SPANLEDGER_DATA_DIR: {
    schema: z.string().min(1),
    default: "./data",
    description: "Directory of the write-ahead log and the embedded database.",
  },
  SPANLEDGER_OTLP_HTTP: {
    schema: address,
    default: "127.0.0.1:4318",
    description: "Where OTLP/HTTP is received. A port of 0 takes a free one.",
  },
  SPANLEDGER_OTLP_GRPC: {
    schema: address,
    default: "127.0.0.1:4317",
    description: "Where OTLP/gRPC is received. A port of 0 takes a free one.",
  },
  SPANLEDGER_OTLP_PATH_PREFIX: {
    schema: z
      .string()
      .regex(/^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/, "must be a path such as /otlp"),
    default: null,
    description:
      "Path in front of /v1/traces and the others, for senders behind a proxy that keeps it. " +
      "The paths without it are received too.",
  },
  SPANLEDGER_CORS_ORIGINS: {
    schema: origins,
    default: null,
    description:
      "Origins whose web pages may send OTLP/HTTP, separated by commas: https://app.example.com, or " +
      "https://*.example.com for every name below it. Unset: none.",
  },
  SPANLEDGER_HTTP: {
    schema: address,
    default: "127.0.0.1:8080",
    description: "Where the query API listens. A port of 0 takes a free one.",
  },
  SPANLEDGER_MONITOR: {
    schema: address,
    default: "127.0.0.1:8888",
    description:
      "Where a collector that runs alone serves /healthz, /readyz and /metrics. " +
      "With `serve` they are on SPANLEDGER_HTTP.",
  },
  SPANLEDGER_CLICKHOUSE_URL: {
    schema: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }),
    default: null,
    description:
      "ClickHouse server as http://user:password@host:8123/database. Unset: ClickHouse runs embedded.",
    secret: true,
  },
  SPANLEDGER_CLICKHOUSE_HTTP: {
    schema: address,
    default: null,
    description:
      "Where clients of ClickHouse (Grafana, clickhouse-client) may ask the embedded engine, read only and " +
      "with a key: 127.0.0.1:8123, say. Unset: nowhere. A port of 0 takes a free one.",
  },
  SPANLEDGER_CLICKHOUSE_HTTP_QUERIES_AT_ONCE: {
    schema: integer(1, 64),
    default: "4",
    description:
      "Queries of such clients at once; of one key, one fewer. Of the others as many wait as " +
      "SPANLEDGER_API_QUERIES_WAITING says.",
  },
  SPANLEDGER_CLICKHOUSE_HTTP_QUERY_MEMORY_BYTES: {
    schema: integer(16 * MIB, 64 * GIB),
    default: String(512 * MIB),
    description: "Memory of one query of such a client, bytes; one that needs more fails.",
  },
  SPANLEDGER_CLICKHOUSE_HTTP_MAX_ROWS: {
    schema: integer(1, 1_000_000_000),
    default: "1000000",
    description: "Rows of an answer to such a client; a query with more fails and is never cut.",
  },
  SPANLEDGER_API_KEY: {
    schema: z.string().min(24, "must have at least 24 characters"),
    default: null,
    description:
      "Key of the operator, who may do everything; with it set every request must carry a key, as " +
      "`Authorization: Bearer` or `x-api-key`. It, or a stored key (`spanledger keys`), is required to " +
      "listen on any address but loopback.",
    secret: true,
  },
  SPANLEDGER_KEYS_MAX_STALE_S: {
    schema: integer(20, 86_400),
    default: "60",
    description:
      "How old what is known of keys may be for an unknown key to get 401, seconds. When ClickHouse has " +
      "been away for longer it gets 503, so that its sender tries again; known keys go on to hold.",
  },
  SPANLEDGER_API_REQUESTS_PER_SECOND: {
    schema: integer(1, 1_000_000),
    default: "200",
    description:
      "Requests of one key that the query API answers, a second; bursts of ten seconds' worth pass. " +
      "Above it 429 with Retry-After.",
  },
  SPANLEDGER_API_WRONG_KEYS_PER_MINUTE: {
    schema: integer(1, 1_000_000),
    default: "60",
    description:
      "Wrong keys of one address that get 401, a minute; then 429. Good keys from there are answered.",
  },
  SPANLEDGER_API_QUERIES_AT_ONCE: {
    schema: integer(1, 1_000),
    default: "4",
    description: "Questions of one project that are worked on at once; more wait for their turn.",
  },
  SPANLEDGER_API_QUERIES_WAITING: {
    schema: integer(0, 100_000),
    default: "64",
    description: "Questions of one project that wait for their turn; more get 429.",
  },
  SPANLEDGER_ANSWER_CACHE_BYTES: {
    schema: integer(0, 16 * GIB),
    default: String(32 * MIB),
    description:
      "Bytes of answers that the query API keeps for as long as the ledger of their project does not " +
      "change; 0 keeps none.",
  },
  SPANLEDGER_LOG_LEVEL: {
    schema: z
      .string()
      .toLowerCase()
      .pipe(z.enum(["error", "warn", "info"], { error: 'must be "error", "warn" or "info"' })),
    default: "info",
    description:
      "Least severe lines that are logged: `error` (a person has to act), `warn` (it was recovered " +
      "from) or `info`.",
  },
  SPANLEDGER_CAPTURE_CONTENT: {
    schema: flag,
    default: "false",
    description:
      "Store prompts, answers and other content. Off: it is dropped before anything is stored.",
  },
  SPANLEDGER_PRICES_FILE: {
    schema: z.string().min(1),
    default: null,
    description:
      "JSON file of negotiated prices, in US dollars; they win over the list prices. " +
      "See docs/prices.md. Unset: list prices only.",
  },
  SPANLEDGER_MAX_BODY_BYTES: {
    schema: integer(KIB, GIB),
    default: String(64 * MIB),
    description: "Largest request body, before and after decompression, bytes.",
  },
  SPANLEDGER_MAX_IN_FLIGHT_BYTES: {
    schema: integer(KIB, 16 * GIB),
    default: String(256 * MIB),
    description: "Bodies being worked on at once, bytes; above it senders get 503 and come back.",
  },
  SPANLEDGER_GRPC_MAX_STREAMS: {
    schema: integer(1, 10_000),
    default: "200",
    description: "Calls at once on one gRPC connection; more wait for their turn at the sender.",
  },
  SPANLEDGER_GRPC_MAX_CONNECTION_AGE_S: {
    schema: integer(1, 7 * 86_400),
    default: "1800",
    description:
      "Age at which a gRPC connection is asked to come again, seconds, so that load spreads over all " +
      "collectors. Its calls are finished.",
  },
  SPANLEDGER_TLS_CERT_FILE: {
    schema: z.string().min(1),
    default: null,
    description:
      "PEM file with the certificate, and those between it and its authority, that OTLP is received " +
      "with, over gRPC and HTTP. Unset: plain text.",
  },
  SPANLEDGER_TLS_KEY_FILE: {
    schema: z.string().min(1),
    default: null,
    description: "PEM file with the key of SPANLEDGER_TLS_CERT_FILE.",
  },
  SPANLEDGER_TLS_CLIENT_CA_FILE: {
    schema: z.string().min(1),
    default: null,
    description:
      "PEM file with the authority that senders of OTLP must have a certificate of. Unset: they need none.",
  },
  SPANLEDGER_MAX_FUTURE_S: {
    schema: integer(0, 366 * 86_400),
    default: "86400",
    description:
      "How far in the future a span, event or data point may lie, seconds; later ones are rejected.",
  },
  SPANLEDGER_MAX_AGE_S: {
    schema: integer(86_400, 100 * 366 * 86_400),
    default: String(396 * 86_400),
    description:
      "How long ago a span, event or data point may have started, seconds; older ones are rejected. " +
      "Raise it to import history.",
  },
  SPANLEDGER_WAL_MAX_BYTES: {
    schema: integer(MIB, 1024 * GIB),
    default: String(10 * GIB),
    description:
      "Disk the write-ahead log may use while ClickHouse is away, bytes; then senders get 503.",
  },
  SPANLEDGER_INSERT_MAX_ROWS: {
    schema: integer(1, 1_000_000),
    default: "100000",
    description: "Rows of one INSERT under load.",
  },
  SPANLEDGER_INSERT_BACKLOG_ROWS: {
    schema: integer(1, 4_000_000),
    default: "200000",
    description: "Rows of one INSERT while twice SPANLEDGER_INSERT_MAX_ROWS or more wait.",
  },
  SPANLEDGER_INSERT_MAX_BYTES: {
    schema: integer(MIB, 4 * GIB),
    default: String(128 * MIB),
    description:
      "Bytes of one INSERT. As many again are read ahead, and may wait for days long past.",
  },
  SPANLEDGER_INSERT_MAX_AGE_MS: {
    schema: integer(1, 60_000),
    default: "1000",
    description:
      "How old a row is at most when it is in ClickHouse while traffic is low, ms; the time that the " +
      "last INSERT took is taken off, down to half.",
  },
  SPANLEDGER_DEAD_LETTER_MAX_BYTES: {
    schema: integer(MIB, 1024 * GIB),
    default: String(GIB),
    description:
      "Disk for records that ClickHouse refuses, bytes. When it is full nothing is dropped: inserts " +
      "stop until `spanledger dead-letter` has made room.",
  },
  SPANLEDGER_DEAD_LETTER_MAX_FILES: {
    schema: integer(1, 1_000_000),
    default: "10000",
    description: "The same, in records.",
  },
  SPANLEDGER_TRACE_SETTLE_S: {
    schema: integer(0, 86_400),
    default: "10",
    description:
      "How long nothing must arrive of a trace until a sum reported by an agent counts in place of " +
      "calls that nobody reported, seconds.",
  },
  SPANLEDGER_TRACE_WINDOW_S: {
    schema: integer(60, 30 * 86_400),
    default: "21600",
    description:
      "How far apart the spans of one trace, or two reports of one call, may start, seconds; " +
      "beyond it they are counted apart.",
  },
  SPANLEDGER_RECOMPUTE_INTERVAL_MS: {
    schema: integer(10, 3_600_000),
    default: "2000",
    description: "Pause between recomputes of the rollups, ms. Answers never wait for them.",
  },
  SPANLEDGER_RECOMPUTE_CPU_SHARE: {
    schema: fraction(0.01, 1),
    default: "0.25",
    description:
      "Share of one core that recomputing the rollups takes while inserts need the machine: less while " +
      "they are behind, and what they leave of the core when they are not.",
  },
  SPANLEDGER_RECOMPUTE_MEMORY_BYTES: {
    schema: integer(64 * MIB, 1024 * GIB),
    default: String(512 * MIB),
    description:
      "Memory of one statement that recomputes rollups, bytes; a portion that needs more is cut.",
  },
  SPANLEDGER_SAMPLES_INTERVAL_S: {
    schema: integer(0, 60),
    default: "15",
    description:
      "Pause between samples of what the collector counts, seconds: they are kept for 30 days in " +
      "collector_samples, for the page and Grafana. 0 takes none.",
  },
  SPANLEDGER_ENGINE_MEMORY_BYTES: {
    schema: integer(256 * MIB, 1024 * GIB),
    default: String(2 * GIB),
    description: "Memory of the embedded engine, bytes.",
  },
  SPANLEDGER_QUERY_TIMEOUT_S: {
    schema: integer(1, 3_600),
    default: "30",
    description: "Longest a query of the API may run, seconds.",
  },
  SPANLEDGER_JOBS_MAX: {
    schema: integer(1, 16),
    default: "2",
    description: "Exports, erasures and retentions at once; of the latter two one.",
  },
  SPANLEDGER_EXPORT_MAX_BYTES: {
    schema: integer(MIB, 1024 * GIB),
    default: String(10 * GIB),
    description: "Disk for the files of all exports together, bytes; beyond it an export fails.",
  },
  SPANLEDGER_EXPORT_KEEP_DAYS: {
    schema: integer(1, 365),
    default: "7",
    description: "How long the files of an export are kept, days.",
  },
  SPANLEDGER_LIVE_MAX_LISTENERS: {
    schema: integer(1, 100_000),
    default: "200",
    description: "Streams of `GET /v1/live` at once, in all; more get 429.",
  },
  SPANLEDGER_LIVE_MAX_PROJECT_LISTENERS: {
    schema: integer(1, 100_000),
    default: "50",
    description: "The same, of one project.",
  },
  SPANLEDGER_LIVE_INTERVAL_MS: {
    schema: integer(100, 4_000),
    default: "2000",
    description:
      "Pause between two looks at the ledger of a project that somebody follows live, ms. However many " +
      "follow it, it is looked at once.",
  },
  SPANLEDGER_ALERTS_INTERVAL_S: {
    schema: integer(5, 3_600),
    default: "60",
    description: "Pause between looks at all budgets and alert rules, seconds.",
  },
  SPANLEDGER_ALERTS_MAX_ATTEMPTS: {
    schema: integer(1, 100),
    default: "16",
    description:
      "Attempts to deliver a notice to a channel; the pauses between them grow from seconds to an hour, " +
      "so that 16 take about seven hours.",
  },
  SPANLEDGER_ALERTS_ALLOW_PRIVATE: {
    schema: flag,
    default: "false",
    description:
      "Whether notices may go to private, loopback and link-local addresses, and over http. Whoever may " +
      "change channels can then reach what this machine can reach.",
  },
  SPANLEDGER_SMTP_URL: {
    schema: smtpUrl,
    default: null,
    description:
      "Server that notices are mailed by: smtp://user:password@host:587, or smtps:// for TLS from the " +
      "start. A password goes only over TLS. Unset: no e-mail.",
    secret: true,
  },
  SPANLEDGER_SMTP_FROM: {
    schema: z.string().regex(/^[^\r\n]{3,320}$/, "must be an address, or Name <address>"),
    default: "Spanledger <spanledger@localhost>",
    description: "Whom mails are from: an address, or `Name <address>`.",
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

/** The settings after parsing, by name. */
export type Settings = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name]["default"] extends null
    ? z.infer<(typeof SETTINGS)[Name]["schema"]> | null
    : z.infer<(typeof SETTINGS)[Name]["schema"]>;
};

/** Parses settings from a map of texts; every problem is named at once. */
export function parseSettings(
  environment: Readonly<Record<string, string | undefined>>,
): { settings: Settings } | { problems: string[] } {
  const settings: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    const text = environment[name] === "" ? undefined : environment[name];
    const given = text ?? setting.default;
    if (given === null) {
      settings[name] = null;
      continue;
    }
    const result = setting.schema.safeParse(given);
    if (result.success) settings[name] = result.data;
    else problems.push(`${name} ${result.error.issues[0]?.message ?? "is not valid"}`);
  }
  for (const name of Object.keys(environment)) {
    if (
      name.startsWith("SPANLEDGER_") &&
      !(name in SETTINGS) &&
      !name.startsWith("SPANLEDGER_TEST_")
    ) {
      problems.push(`${name} is not a setting of Spanledger; run "spanledger help" for the list`);
    }
  }
  return problems.length > 0 ? { problems } : { settings: settings as Settings };
}
