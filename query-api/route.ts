/**
 * What a route is: one entry of a table, from which the application, the OpenAPI document, the tests of
 * tenancy and the reference are made.
 *
 * Invariant: a route says which action it is and on what; nothing is answered before that was decided.
 */
import type { z } from "zod";
import type { Senders } from "../alerting/senders.ts";
import type { Engine } from "../clickhouse/engine.ts";
import type { Action, Actor } from "../schemas/access.ts";
import type { ExportFiles } from "../rights/export-files.ts";
import type { WhoamiAnswer } from "../schemas/api-tenancy.ts";
import type { Log } from "../schemas/log.ts";
import type { StateStore } from "../state/store.ts";
import type { AnswerCache } from "./cache.ts";
import type { LedgerState } from "./reading.ts";
import type { PriceLister } from "./prices.ts";
import type { PriceRows } from "./price-rows.ts";

/** What routes work with. Clock and randomness too: tests replace them. */
export interface Services {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly log: Log;
  readonly version: string;
  readonly now_ms: () => number;
  /** Keeps answers by the version of the ledger; without it each is computed. */
  readonly answers?: AnswerCache;
  /** Of one request: what was read of its project's ledger before it was answered. */
  readonly ledger?: LedgerState;
  /** Writes down an administrative act; resolves when it is durable. */
  readonly audit: (entry: AuditEntry) => Promise<void>;
  /** The price book, to compare by; without it what needs it is not known. */
  readonly prices?: PriceLister;
  /** The price book row by row; without it the list prices. */
  readonly price_rows?: PriceRows;
  /** The files of exports on this machine; without them they can be asked for, not fetched. */
  readonly exports?: ExportFiles;
  /** Where this process receives OTLP; without it another process does, and nobody here knows where. */
  readonly receiver?: NonNullable<WhoamiAnswer["receiver"]>;
  /** Where notices may be sent; without them to public addresses only, and no e-mail. */
  readonly senders?: Senders;
}

/** What is told to the audit log; who and where are added by the application. */
export interface AuditEntry {
  readonly actor: Actor;
  readonly action: Action;
  readonly organization_id: string | null;
  readonly project_id: string | null;
  readonly object_kind: string;
  readonly object_id: string;
  readonly outcome: "done" | "refused" | "failed";
  /** What changed; never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
  readonly remote_address?: string;
  readonly request_id?: string;
}

/** A request after all checks: parsed, authenticated and allowed. */
export interface ApiRequest<Query = unknown, Body = unknown> {
  readonly services: Services;
  readonly actor: Actor;
  /** The project asked about; the empty string for routes that are not of a project. */
  readonly project_id: string;
  /** The organization asked about; the empty string for routes of the installation. */
  readonly organization_id: string;
  /** Values of the {names} in the path, decoded. */
  readonly path: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** The request as it came: headers, signal, URL. */
  readonly raw: Request;
  readonly url: string;
  readonly now_ms: number;
  readonly request_id: string;
  readonly remote_address: string;
  /** Writes down what this request did. */
  readonly audit: (
    object: Pick<AuditEntry, "object_kind" | "object_id"> & Partial<AuditEntry>,
  ) => Promise<void>;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** An example that a test runs and the reference shows. */
export interface RouteExample {
  readonly summary: string;
  /** Path with query, as one would type it. */
  readonly path: string;
  readonly body?: unknown;
}

export interface Route {
  readonly method: Method;
  /** Such as `/v1/traces/{trace_id}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** Heading of the reference that it stands under. */
  readonly tag: string;
  /** What is done; null for what everyone may see, such as the health. */
  readonly action: Action | null;
  /**
   * What it is done to. `project`: that of the key, or the one named by the parameter `project` or by
   * {project_id} in the path; `organization`: that of the key or {organization_id} in the path; `self`: whatever the
   * key is of.
   */
  readonly of: "project" | "organization" | "installation" | "self";
  readonly path_parameters?: Readonly<Record<string, string>>;
  readonly query?: z.ZodObject;
  /** A file that a page asks for by itself: not of the API, so not in its document. */
  readonly is_asset?: true;
  /** Whether the parameters are not for the server: the page reads its own address. */
  readonly ignores_query?: true;
  readonly body?: z.ZodType;
  /** Shape of the answer; null when it is not JSON. */
  readonly answer: z.ZodType | null;
  /** Status of a good answer; 200 when it is not given. */
  readonly status?: 200 | 201 | 202 | 204;
  /** Media types beside JSON, or instead of it when `answer` is null. */
  readonly media_types?: readonly string[];
  /** Statuses of errors beside those of every route. */
  readonly errors?: readonly number[];
  /** Statuses whose body is not the shape of errors. */
  readonly also?: Readonly<Record<number, z.ZodType>>;
  /** `ledger`: the answer is a function of the ledger and the question, and may be kept by its version. */
  readonly cache?: "ledger";
  /**
   * Whether this machine is answered while ClickHouse is away and was never there, so that nobody knows
   * whether there are keys: an operator needs the metrics just then.
   */
  readonly open_while_unknown?: true;
  /**
   * Whether it asks the ledger, so that it waits for its turn among the questions of its project. Routes
   * of the action `usage:read` do in any case.
   */
  readonly asks_ledger?: true;
  readonly examples?: readonly RouteExample[];
  /** Answers JSON, or a whole response for what is not. */
  // oxlint-disable-next-line typescript/no-explicit-any -- each route knows its own query and body
  readonly handle: (request: ApiRequest<any, any>) => Promise<unknown>;
}

/** A route whose handler knows the types of its query and body. */
export function defineRoute<
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodUndefined,
>(
  route: Omit<Route, "query" | "body" | "handle"> & {
    readonly query?: Query;
    readonly body?: Body;
    readonly handle: (request: ApiRequest<z.infer<Query>, z.infer<Body>>) => Promise<unknown>;
  },
): Route {
  return route;
}
