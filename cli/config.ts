/**
 * The only reader of the environment. Settings are parsed once, at start; every problem is printed
 * together and the process ends, rather than going on with something else than was meant.
 */
import { readFileSync } from "node:fs";
import {
  type Address,
  parseSettings,
  type Setting,
  SETTINGS,
  type Settings,
} from "../schemas/settings.ts";
import { PermanentError } from "../schemas/errors.ts";

/** Version of this package. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  }
).version;

/** The environment of the process, for what passes it on. */
export const ENVIRONMENT: Readonly<Record<string, string | undefined>> = process.env;

/** The settings of this process. Throws PermanentError("bad_settings") naming every problem. */
export function readSettings(): Settings {
  const result = parseSettings(ENVIRONMENT);
  if ("problems" in result) {
    const lines = result.problems.map((problem) => `  ${problem}`);
    throw new PermanentError(
      "bad_settings",
      ["Settings that cannot be used:", ...lines].join("\n"),
    );
  }
  return result.settings;
}

/** What a log is made with. */
export interface LogSettings {
  readonly level: Settings["SPANLEDGER_LOG_LEVEL"];
  /** Texts that must not be in any line. */
  readonly secrets: readonly string[];
}

/** Shorter texts would be found by chance. Of headers most are no secrets, of settings all are. */
const MIN_SECRET_LENGTH = 4;
const MIN_HEADER_LENGTH = 8;

/**
 * The settings of the log. Never throws: it is made before the others are read, and settings that
 * cannot be used are told by `readSettings`.
 */
export function readLogSettings(environment = ENVIRONMENT): LogSettings {
  const name = "SPANLEDGER_LOG_LEVEL";
  const level = SETTINGS[name].schema.safeParse(environment[name] || SETTINGS[name].default);
  const values = Object.entries<Setting>(SETTINGS).flatMap(([setting, { secret = false }]) =>
    secret ? secretParts(environment[setting] ?? "") : [],
  );
  const headers = HEADER_VARIABLES.flatMap((variable) =>
    (environment[variable] ?? "")
      .split(",")
      .flatMap(secretHeader)
      .filter((value) => value.length >= MIN_HEADER_LENGTH),
  );
  return {
    level: level.success ? level.data : "info",
    secrets: [...new Set([...values, ...headers])].filter(
      (secret) => secret.length >= MIN_SECRET_LENGTH,
    ),
  };
}

/** Headers that our own traces are sent with; among them keys of whom they are sent to. */
const HEADER_VARIABLES = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];

/** The value of `name=value`, percent-encoded and not; a scheme in front of a key is no secret. */
function secretHeader(pair: string): string[] {
  const value = pair.slice(pair.indexOf("=") + 1).trim();
  return [value, decodeQuietly(value)].map((text) => text.replace(/^(?:Bearer|Basic)\s+/i, ""));
}

/** Of a URL its password, as written and decoded; of anything else all of it. */
function secretParts(value: string): string[] {
  if (!URL.canParse(value)) return [value];
  const { password } = new URL(value);
  return [password, decodeQuietly(password)];
}

function decodeQuietly(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** How the program traces itself, by the variables of OpenTelemetry; null: not at all. */
export interface TraceSettings {
  readonly service_name: string;
  readonly sampler: string;
  /** Share of requests, for the samplers that take one; 1 without. */
  readonly sampler_ratio: number;
}

const ENDPOINTS = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/**
 * The standard variables that say whether and how to trace; where to, with which headers and how
 * compressed the exporter of the SDK reads by itself. A `problem` leaves the traces off: a variable
 * that is meant for applications must not keep a collector from starting.
 */
export function readTraceSettings(
  environment = ENVIRONMENT,
): { settings: TraceSettings } | { problem: string } | null {
  const first = (names: readonly string[]) =>
    names.map((name) => environment[name]?.trim() ?? "").find((value) => value !== "");
  const endpoint = first(ENDPOINTS);
  const is_off =
    endpoint === undefined ||
    environment["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true" ||
    environment["OTEL_TRACES_EXPORTER"]?.trim().toLowerCase() === "none";
  if (is_off) return null;
  if (!/^https?:\/\//i.test(endpoint) || !URL.canParse(endpoint)) {
    return { problem: "OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL" };
  }
  const protocol = first(PROTOCOLS) ?? "http/protobuf";
  if (protocol !== "http/protobuf") {
    return { problem: 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL must be "http/protobuf"' };
  }
  const ratio = Number(environment["OTEL_TRACES_SAMPLER_ARG"] || "1");
  return {
    settings: {
      service_name: first(["OTEL_SERVICE_NAME"]) ?? "spanledger",
      sampler: first(["OTEL_TRACES_SAMPLER"]) ?? "parentbased_always_on",
      sampler_ratio: ratio >= 0 && ratio <= 1 ? ratio : 1,
    },
  };
}

function isLoopback({ host }: Address): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** A setting that says where a program listens. */
export type Door =
  | "SPANLEDGER_OTLP_HTTP"
  | "SPANLEDGER_OTLP_GRPC"
  | "SPANLEDGER_HTTP"
  | "SPANLEDGER_MONITOR";

/** Those of the doors that others than this machine reach. */
export function listOpenDoors(settings: Settings, doors: readonly Door[]): Door[] {
  return doors.filter((door) => !isLoopback(settings[door]));
}

/** The error of a door without a lock: other addresses than loopback need a key. */
export function keyMissing(doors: readonly Door[]): PermanentError {
  return new PermanentError(
    "no_key",
    `${doors.join(" and ")} would listen beyond this machine without a key. Make one first with ` +
      '"spanledger keys create", or set SPANLEDGER_API_KEY to at least 24 random characters, or listen ' +
      "on 127.0.0.1.",
  );
}
