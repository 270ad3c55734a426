/**
 * The OpenAPI document, made from the schemas that the routes validate with.
 */
import { z } from "zod";
import {
  CallsAnswer,
  CallsQuery,
  ErrorAnswer,
  ExplainAnswer,
  TraceAnswer,
  UsageAnswer,
  UsageQuery,
} from "../schemas/api.ts";

interface RouteDescription {
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly path_parameters?: readonly string[];
  readonly answer: z.ZodType | null;
  readonly media_type?: string;
  readonly errors: readonly number[];
  /** Statuses whose body is not the shape of errors. */
  readonly also?: Readonly<Record<number, z.ZodType>>;
}

const Health = z.object({ status: z.string() });
const Readiness = z.object({ status: z.string(), checks: z.record(z.string(), z.string()) });

/** Errors of every route: a name that is not loopback while there is no key, and a fault of ours. */
const ERRORS_OF_ALL: readonly number[] = [403, 500];

/** Every route of the query API; a test holds the list against the application. */
export const ROUTES: readonly RouteDescription[] = [
  {
    path: "/v1/usage",
    summary: "Calls, tokens, cost and latency by any dimensions and steps of time",
    query: UsageQuery,
    answer: UsageAnswer,
    errors: [400, 401, 503, 504],
  },
  {
    path: "/v1/calls",
    summary: "The rows of the ledger, newest first",
    query: CallsQuery,
    answer: CallsAnswer,
    errors: [400, 401, 503, 504],
  },
  {
    path: "/v1/calls/{call_id}/explain",
    summary: "Why a span is a row of the ledger or none, and what gave way to it",
    path_parameters: ["call_id"],
    answer: ExplainAnswer,
    errors: [400, 401, 404, 503, 504],
  },
  {
    path: "/v1/traces/{trace_id}",
    summary: "The spans of a trace, with the cost of every node",
    path_parameters: ["trace_id"],
    answer: TraceAnswer,
    errors: [400, 401, 404, 503, 504],
  },
  { path: "/healthz", summary: "The process runs", answer: Health, errors: [] },
  {
    path: "/readyz",
    summary: "The process can do its work: the storage answers",
    answer: Readiness,
    errors: [],
    also: { 503: Readiness },
  },
  {
    path: "/metrics",
    summary: "Metrics of the process in Prometheus text",
    answer: null,
    media_type: "text/plain",
    errors: [401],
  },
  { path: "/openapi.json", summary: "This document", answer: null, errors: [] },
];

function jsonSchema(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
  });
  return rest;
}

function parameters(route: RouteDescription): object[] {
  const inPath = (route.path_parameters ?? []).map((name) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = Object.entries(route.query?.shape ?? {}).map(([name, schema]) => {
    const { description, ...json } = jsonSchema(schema as z.ZodType) as { description?: string };
    return {
      name,
      in: "query",
      required: false,
      ...(description === undefined ? {} : { description }),
      schema: json,
    };
  });
  return [...inPath, ...inQuery];
}

function responses(route: RouteDescription): object {
  const media_type = route.media_type ?? "application/json";
  const schema = route.answer === null ? {} : jsonSchema(route.answer);
  const error = { "application/json": { schema: { $ref: "#/components/schemas/Error" } } };
  return Object.fromEntries([
    ["200", { description: "OK", content: { [media_type]: { schema } } }],
    ...[...route.errors, ...ERRORS_OF_ALL].map((status) => [
      String(status),
      { description: "Error", content: error },
    ]),
    ...Object.entries(route.also ?? {}).map(([status, schema]) => [
      status,
      { description: "Not OK", content: { "application/json": { schema: jsonSchema(schema) } } },
    ]),
  ]);
}

/** The document for this version. */
export function makeOpenApi(version: string): object {
  return {
    openapi: "3.1.0",
    info: {
      title: "Spanledger query API",
      version,
      description: "Usage and spend of LLM calls. Unknown query parameters are an error.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths: Object.fromEntries(
      ROUTES.map((route) => [
        route.path,
        {
          get: {
            summary: route.summary,
            parameters: parameters(route),
            responses: responses(route),
          },
        },
      ]),
    ),
    components: {
      schemas: { Error: jsonSchema(ErrorAnswer) },
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
    },
    security: [{ key: [] }, {}],
  };
}
