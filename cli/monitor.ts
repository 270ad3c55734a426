/** Health, readiness and metrics of a collector that runs without the query API. */
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { type Collector, listen } from "../collector/collector.ts";
import type { Address } from "../schemas/settings.ts";

/** Serves /healthz, /readyz and /metrics of the collector. They hold no data of projects. */
export async function serveMonitor(
  collector: Collector,
  address: Address,
): Promise<{ address: string; server: Server }> {
  const app = new Hono();
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", async (c) => {
    try {
      await collector.checkReady();
      return c.json({ status: "ready" });
    } catch {
      return c.json({ status: "not ready" }, 503);
    }
  });
  app.get("/metrics", async (c) =>
    c.body(await collector.metrics.registry.metrics(), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
    }),
  );
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  return { address: await listen(server, address), server };
}
