/**
 * Reads the deployment files (Dockerfile, Compose, ClickHouse, Grafana) for the tests that hold
 * them against each other. Invariant: reading only; nothing here judges.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse as parseYaml } from "yaml";

import { SETTINGS } from "../../schemas/settings.ts";
import { parseXml } from "./xml.ts";
import type { XmlNode } from "./xml.ts";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const FOREIGN_PORTS: Record<string, (service: Service) => number[]> = {
  clickhouse: () => [8123, 9000],
  grafana: (service) => [Number(service.environment?.["GF_SERVER_HTTP_PORT"])],
};

/** A service of docker-compose.yml, as far as the checks look. */
export interface Service {
  image?: string;
  build?: string;
  command?: string[];
  restart?: string;
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  networks?: string[];
  depends_on?: Record<string, { condition?: string }>;
  healthcheck?: { test?: string[]; disable?: boolean };
  mem_limit?: string;
  read_only?: boolean;
  tmpfs?: string[];
  cap_drop?: string[];
  security_opt?: string[];
  logging?: { driver?: string; options?: Record<string, string> };
}

/** A data source of the Grafana provisioning file. */
export interface DataSource {
  uid: string;
  type: string;
  editable?: boolean;
  jsonData: Record<string, string | number | boolean>;
  secureJsonData: Record<string, string>;
}

/** Everything the deployment consists of, parsed. */
export interface Deployment {
  compose: {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
    networks: Record<string, { internal?: boolean }>;
  };
  /** Instructions with their line continuations joined, e.g. ["RUN", "npm ci"]. */
  dockerfile: [string, string][];
  dockerignore: string[];
  example: Record<string, string>;
  server: XmlNode;
  users: XmlNode;
  datasources: DataSource[];
  guide: string;
}

/** Reads a file of the repository. */
export function readText(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function parseDockerfile(source: string): [string, string][] {
  return source
    .replace(/^\s*#.*$/gm, "")
    .replace(/\\\n/g, " ")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, word = "", rest = ""] = /^\s*(\S+)\s+(.*)$/.exec(line) ?? [];
      return [word, rest.replace(/\s+/g, " ").trim()];
    });
}

function parseLines(source: string): string[] {
  return source.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
}

/** Reads and parses every deployment file; throws when one is not well formed. */
export function readDeployment(): Deployment {
  const compose = parseYaml(readText("docker-compose.yml"), { merge: true });
  const source = parseYaml(readText("grafana/provisioning/datasources/clickhouse.yaml"));
  const example = parseLines(readText(".env.example")).map((line) => {
    const equals = line.indexOf("=");
    return [line.slice(0, equals), line.slice(equals + 1)];
  });
  return {
    compose: compose as Deployment["compose"],
    dockerfile: parseDockerfile(readText("Dockerfile")),
    dockerignore: parseLines(readText(".dockerignore")),
    example: Object.fromEntries(example) as Record<string, string>,
    server: parseXml(readText("clickhouse/config/server.xml")),
    users: parseXml(readText("clickhouse/config/users.xml")),
    datasources: (source as { datasources: DataSource[] }).datasources,
    guide: readText("docs/guides/docker.md"),
  };
}

/** Replaces ${NAME}, ${NAME:-default} and ${NAME:?message} as Compose does. */
export function interpolate(text: string, values: Record<string, string>): string {
  return text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind, rest: string) => {
    const value = values[name] ?? "";
    return value === "" && kind === "-" ? rest : value;
  });
}

/** A .env somebody filled in: the example, with 48 characters for each value left empty. */
export function fillExample(deployment: Deployment): Record<string, string> {
  const entries = Object.entries(deployment.example);
  return Object.fromEntries(entries.map(([name, value]) => [name, value || "0a".repeat(24)]));
}

/** The services by name. */
export function listServices(deployment: Deployment): [string, Service][] {
  return Object.entries(deployment.compose.services);
}

/** Whether a service runs the image that the Dockerfile builds. */
export function isOurs(service: Service): boolean {
  return service.build !== undefined;
}

/** Every ${…} of the Compose file, wherever it stands: name, "-" or "?" or "", and the rest. */
export function listVariables(deployment: Deployment): [string, string, string][] {
  const text = JSON.stringify(deployment.compose);
  return [...text.matchAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g)].map(
    ([, name = "", kind = "", rest = ""]) => [name, kind, rest],
  );
}

/** The variables that the image sets (ENV) or takes at build (ARG). */
export function readImageEnvironment(deployment: Deployment): Record<string, string> {
  const pairs = deployment.dockerfile
    .filter(([word]) => word === "ENV" || word === "ARG")
    .flatMap(([, rest]) => [...rest.matchAll(/(\w+)=(\S+)/g)])
    .map(([, name = "", value = ""]) => [name, value]);
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** The variables that the programs of a service see, not yet interpolated. */
export function readEnvironment(deployment: Deployment, service: Service): Record<string, string> {
  const image = isOurs(service) ? readImageEnvironment(deployment) : {};
  return { ...image, ...service.environment };
}

/** The port of a host:port setting, or of the default when it is not set. */
export function portOf(environment: Record<string, string>, name: keyof typeof SETTINGS): number {
  const address = environment[name] ?? SETTINGS[name].default ?? "";
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** Ports a service listens on for other containers: a loopback address does not count. */
export function listListening(deployment: Deployment, name: string, service: Service): number[] {
  if (!isOurs(service)) return FOREIGN_PORTS[name]?.(service) ?? [];
  const environment = readEnvironment(deployment, service);
  const settings: Record<string, (keyof typeof SETTINGS)[]> = {
    collector: ["SPANLEDGER_OTLP_HTTP", "SPANLEDGER_OTLP_GRPC", "SPANLEDGER_MONITOR"],
    "query-api": ["SPANLEDGER_HTTP"],
  };
  return (settings[service.command?.[0] ?? ""] ?? [])
    .filter((setting) => environment[setting]?.startsWith("0.0.0.0:"))
    .map((setting) => portOf(environment, setting));
}

/** The top-level paths that the Dockerfile copies from the repository into the image. */
export function listCopied(deployment: Deployment): string[] {
  return deployment.dockerfile
    .filter(([word, rest]) => word === "COPY" && !rest.startsWith("--from"))
    .flatMap(([, rest]) => rest.split(" ").slice(0, -1));
}
