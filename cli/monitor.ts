/**
 * Health, readiness and metrics of collectors that run without the query API: of one, or of all the
 * workers behind a port. They hold no data of projects.
 */
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { type Collector, listen } from "../collector/collector.ts";
import type { Address } from "../schemas/settings.ts";

/** What the monitor asks. */
export interface Watched {
  /** Whether spans are taken, and what to tell beside it. */
  checkReady(): Promise<{ is_ready: boolean; details?: Readonly<Record<string, unknown>> }>;
  /** The metrics as Prometheus text. */
  renderMetrics(): Promise<string>;
}

/** One collector in this process. */
export function watchCollector(collector: Collector): Watched {
  return {
    async checkReady() {
      try {
        await collector.checkReady();
        return { is_ready: true };
      } catch {
        return { is_ready: false };
      }
    },
    renderMetrics: () => collector.metrics.registry.metrics(),
  };
}

/** Serves /healthz, /readyz and /metrics. */
export async function serveMonitor(
  watched: Watched,
  address: Address,
): Promise<{ address: string; server: Server }> {
  const app = new Hono();
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    const { is_ready, details } = await watched.checkReady();
    return is_ready
      ? c.json({ status: "ready", ...details })
      : c.json({ status: "not ready", ...details }, 503);
  });
  app.get("/metrics", async (c) =>
    c.body(await watched.renderMetrics(), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
    }),
  );
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  return { address: await listen(server, address), server };
}
