/**
 * The endpoint for clients of ClickHouse as `serve` runs it: off unless SPANLEDGER_CLICKHOUSE_HTTP says
 * where, at an address of its own, and never without keys.
 */
import { makeClickHouseServer } from "../clickhouse-http/server.ts";
import type { Engine } from "../clickhouse/engine.ts";
import type { ReaderLimits } from "../clickhouse/reader.ts";
import { closeServer, listen } from "../collector/collector.ts";
import { Buckets, networkOf, Turns } from "../query-api/rate-limit.ts";
import { type Actor, can } from "../schemas/access.ts";
import { PermanentError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import type { StateStore } from "../state/store.ts";
import { listProjects } from "../state/tenancy.ts";
import type { Access } from "./access.ts";

export interface ClickHouseHttpOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly settings: Settings;
  readonly access: Access;
  /** How to stop what was started is added here. */
  readonly stops: (() => Promise<void>)[];
}

/** Rows that one query may read: what the engine reads in half a minute on a few cores, and more. */
const MAX_READ_ROWS = 10_000_000_000;
/** Bytes of an answer, in memory and as they are sent; a query with more fails. */
const MAX_RESULT_BYTES = 128 * 1024 ** 2;
/** Longest text of a query, bytes. */
const MAX_QUERY_BYTES = 256 * 1024;

const LOOPBACK = /^(?:localhost|::1|127(?:\.\d{1,3}){3})$/;

/**
 * Serves the endpoint; resolves with host:port, or null when it is off. Throws PermanentError "no_key"
 * when others than this machine would reach it and there is no key, and "no_embedded_engine".
 */
export async function serveClickHouseHttp(options: ClickHouseHttpOptions): Promise<string | null> {
  const { engine, log, settings, access, stops } = options;
  const { authenticator, state } = access;
  const address = settings.SPANLEDGER_CLICKHOUSE_HTTP;
  if (address === null) return null;
  const hasKeys = () => settings.SPANLEDGER_API_KEY !== null || authenticator.hasKeys();
  if (!LOOPBACK.test(address.host) && !hasKeys()) throw keyMissing();
  const now_ms = () => performance.now();
  const requests = new Buckets(settings.SPANLEDGER_API_REQUESTS_PER_SECOND, now_ms);
  const failures = new Buckets(settings.SPANLEDGER_API_WRONG_KEYS_PER_MINUTE / 60, now_ms);
  const server = await makeClickHouseServer({
    engine,
    log,
    limits: limitsOf(settings),
    authenticate: (headers) => authenticator.identify(headers),
    hasKeys,
    listProjects: (actor) => listReadable(state, actor),
    admit: (actor, remote_address) =>
      actor === null
        ? failures.take(networkOf(remote_address))
        : requests.take(`${actor.kind} ${actor.id}`),
    enter: makeTurns(settings),
  });
  const bound = await listen(server, address);
  stops.push(() => closeServer(server));
  log.info({ clickhouse_http: bound }, "clients of ClickHouse are answered");
  return bound;
}

function keyMissing(): PermanentError {
  return new PermanentError(
    "no_key",
    "SPANLEDGER_CLICKHOUSE_HTTP would listen beyond this machine without a key. Make one first with " +
      '"spanledger keys create", or set SPANLEDGER_API_KEY to at least 24 random characters, or listen ' +
      "on 127.0.0.1.",
  );
}

/** The limits of one query, by the settings. */
export function limitsOf(settings: Settings): ReaderLimits {
  return {
    query_timeout_s: settings.SPANLEDGER_QUERY_TIMEOUT_S,
    query_memory_bytes: settings.SPANLEDGER_CLICKHOUSE_HTTP_QUERY_MEMORY_BYTES,
    max_result_rows: settings.SPANLEDGER_CLICKHOUSE_HTTP_MAX_ROWS,
    max_result_bytes: MAX_RESULT_BYTES,
    max_read_rows: MAX_READ_ROWS,
    max_query_bytes: MAX_QUERY_BYTES,
  };
}

/** Projects that an actor may read; null: the whole installation. */
export function listReadable(state: StateStore, actor: Actor): readonly string[] | null {
  const { organization_id, project_id } = actor;
  if (organization_id === null && project_id === null) {
    return can(actor, "usage:read", { organization_id, project_id }).is_allowed ? null : [];
  }
  return listProjects(state, organization_id === null ? {} : { organization_id })
    .map(({ body }) => body)
    .filter((project) => can(actor, "usage:read", project).is_allowed)
    .map((project) => project.project_id);
}

/** Turns of all queries, and among them of each key, so that no key keeps the others out. */
function makeTurns(settings: Settings): (actor: Actor, signal: AbortSignal) => Promise<() => void> {
  const at_once = settings.SPANLEDGER_CLICKHOUSE_HTTP_QUERIES_AT_ONCE;
  const waiting = settings.SPANLEDGER_API_QUERIES_WAITING;
  const of_key = new Turns(Math.max(1, at_once - 1), waiting);
  const of_all = new Turns(at_once, waiting);
  return async (actor, signal) => {
    const endOfKey = await of_key.enter(`${actor.kind} ${actor.id}`, signal);
    try {
      const endOfAll = await of_all.enter("", signal);
      return () => {
        endOfAll();
        endOfKey();
      };
    } catch (error) {
      endOfKey();
      throw error;
    }
  };
}
