/**
 * Answers what commands ask in this process, with the engine opened for it: while no program runs.
 *
 * Invariant: what a running program would refuse is refused here too; only who asks is known already.
 */
import { migrate } from "../clickhouse/migrate.ts";
import { answerRoute } from "../query-api/answer.ts";
import { toApiError } from "../query-api/errors.ts";
import { API_ROUTES } from "../query-api/routes.ts";
import { makeOperator } from "../schemas/access.ts";
import { PermanentError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import { StateStore } from "../state/store.ts";
import { makeServices } from "./api-server.ts";
import type { Ask, Asking } from "./ask.ts";
import { openEngine } from "./engine.ts";

const SILENT: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** Opens the engine. Rejects when another program has it. */
export async function openHere(settings: Settings): Promise<Asking> {
  const engine = await openEngine(settings);
  try {
    await migrate(engine);
    const state = new StateStore({
      engine,
      log: SILENT,
      now_ms: Date.now,
      refresh_ms: 3_600_000,
      snapshot: null,
    });
    await state.refresh();
    return {
      ask: askHere(makeServices(engine, state, SILENT, settings)),
      close: () => engine.close(),
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

function askHere(services: ReturnType<typeof makeServices>): Ask {
  return async (method, path, body) => {
    const url = new URL(path, "http://localhost");
    for (const route of API_ROUTES) {
      const values = route.method === method ? matchPath(route.path, url.pathname) : null;
      if (values === null) continue;
      const raw = new Request(url, {
        method,
        headers: { "content-type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const incoming = {
        raw,
        path: values,
        remote_address: "127.0.0.1",
        request_id: crypto.randomUUID(),
        setHeader: () => {},
      };
      const gate = { authenticate: () => ({ actor: makeOperator(), expires_at_ms: null }) };
      try {
        return await answerRoute(route, incoming, services, gate);
      } catch (error) {
        throw toApiError(error);
      }
    }
    throw new PermanentError("no_route", `There is no route ${method} ${url.pathname}.`);
  };
}

/** The values of the {names} of a route's path; null when the path is another. */
function matchPath(route: string, path: string): Record<string, string> | null {
  const wanted = route.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const values: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const text = decodeURIComponent(given[index] ?? "");
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name !== undefined) values[name] = text;
    else if (part !== text) return null;
  }
  return values;
}
