/** What a process tells of itself: health, readiness, metrics, and the description of its routes. */
import { z } from "zod";
import { messageOf } from "../../schemas/errors.ts";
import type { Log } from "../../schemas/log.ts";
import { defineRoute, type Route } from "../route.ts";

export interface OperationsOptions {
  /** Metrics of the process in Prometheus text. */
  readonly renderMetrics: () => Promise<string>;
  /** What has to be well for the process to do its work, by name. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>;
  readonly log: Log;
}

const Health = z.object({ status: z.string() });
const Readiness = z.object({ status: z.string(), checks: z.record(z.string(), z.string()) });

/** The routes of operations; the document is made when it is asked for. */
export function makeOperations(options: OperationsOptions, makeDocument: () => object): Route[] {
  const common = { tag: "Operations", of: "installation" } as const;
  return [
    defineRoute({
      ...common,
      method: "GET",
      path: "/healthz",
      summary: "The process runs",
      action: null,
      answer: Health,
      handle: async () => ({ status: "ok" }),
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/readyz",
      summary: "The process can do its work: the storage answers",
      action: null,
      answer: Readiness,
      also: { 503: Readiness },
      handle: () => answerReady(options),
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/metrics",
      summary: "Metrics of the process in Prometheus text",
      // Of any key that reads: they have no label of a project.
      of: "self",
      open_while_unknown: true,
      action: "settings:read",
      answer: null,
      media_types: ["text/plain"],
      handle: async () =>
        new Response(await options.renderMetrics(), {
          headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
        }),
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/openapi.json",
      summary: "The OpenAPI document",
      action: null,
      answer: null,
      media_types: ["application/json"],
      handle: async () => makeDocument(),
    }),
  ];
}

async function answerReady({ checks: wanted, log }: OperationsOptions): Promise<unknown> {
  const checks: Record<string, string> = {};
  for (const [name, check] of Object.entries(wanted)) {
    try {
      await check();
      checks[name] = "ok";
    } catch (error) {
      // The reason goes to the log: it may name hosts.
      log.warn({ check: name }, `not ready: ${messageOf(error)}`);
      checks[name] = "failing";
    }
  }
  const is_ready = Object.values(checks).every((state) => state === "ok");
  const body = { status: is_ready ? "ready" : "not ready", checks };
  return is_ready ? body : Response.json(body, { status: 503 });
}
