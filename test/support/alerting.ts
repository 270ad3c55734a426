/**
 * Alerting on a test engine with a clock that tests set, memories that tests wipe, and a receiver on this
 * machine that remembers what it was sent.
 *
 * Invariant: spans come in by the same tables as in life, and usage is asked by the same door.
 */
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Deliverer } from "../../alerting/deliver.ts";
import { evaluateAll } from "../../alerting/evaluate.ts";
import { NoticeStore } from "../../alerting/notices.ts";
import { RuleReader } from "../../alerting/rules.ts";
import { makeSenders } from "../../alerting/senders.ts";
import type { Engine } from "../../clickhouse/engine.ts";
import { makeAsk } from "../../query-api/routes/budgets.ts";
import {
  type AlertRule,
  AlertRuleInput,
  type Budget,
  BudgetInput,
} from "../../schemas/alerting.ts";
import type { Channel, Notice } from "../../schemas/notices.ts";
import type { Span } from "../../schemas/span.ts";
import { StateStore } from "../../state/store.ts";
import { insertSpans } from "./ledger.ts";
import { byClass, idBytes, makeSpan } from "./span.ts";

/** A request that a receiver was sent. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly notice: Notice & { readonly delivery_id: string };
}

/** An HTTP server that answers as a test says. */
export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** Status of the next answers. */
  status: number;
  close(): Promise<void>;
}

/** Starts a receiver on the loopback address. */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      received.push({
        headers: request.headers,
        body,
        notice: JSON.parse(body) as Received["notice"],
      });
      response.writeHead(receiver.status).end("thanks");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    status: 200,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

const STAMP = "2020-01-01T00:00:00.000Z";
let sequence = 0;

/** Alerting as one process has it. */
export class AlertWorld {
  now_ms: number;
  readonly log: string[] = [];
  readonly #engine: Engine;
  #parts: ReturnType<AlertWorld["makeParts"]>;

  constructor(engine: Engine, now_ms: number) {
    this.#engine = engine;
    this.now_ms = now_ms;
    this.#parts = this.makeParts();
  }

  /** What a process has when it has just started. */
  makeParts() {
    const write = (_fields: object, message: string) => void this.log.push(message);
    const log = { info: write, warn: write, error: write };
    const engine = this.#engine;
    const now_ms = () => this.now_ms;
    const refresh_ms = 3_600_000;
    const state = new StateStore({ engine, log, now_ms: Date.now, refresh_ms, snapshot: null });
    const ask = makeAsk({ engine });
    const senders = makeSenders({ allow_private: true, smtp: null });
    const common = { engine, state, log, now_ms, senders, random: () => 0.5, max_attempts: 3 };
    const deliverer = new Deliverer(common);
    const rules = new RuleReader(ask);
    return { ...common, ask, deliverer, rules, notices: new NoticeStore(engine) };
  }

  get state(): StateStore {
    return this.#parts.state;
  }

  /** The process ends and another begins: what was in memory is gone. */
  async restart(): Promise<void> {
    await this.#parts.state.stop();
    this.#parts = this.makeParts();
    await this.#parts.state.refresh();
  }

  /** Forgets all that is to be looked at, so that the next test has only its own. */
  async clear(): Promise<void> {
    for (const kind of ["budget", "alert_rule", "quota_notice"] as const) {
      for (const { object_id } of this.state.list(kind)) await this.state.remove(kind, object_id);
    }
  }

  /** One look; a second process looks with parts of its own. */
  async look(parts = this.#parts): Promise<number> {
    const { notices, failures } = await evaluateAll(parts);
    if (failures > 0) throw new Error(`a look failed: ${this.log.join("; ")}`);
    return notices;
  }

  deliver(signal = new AbortController().signal): Promise<number | null> {
    return this.#parts.deliverer.deliver(signal);
  }

  async addBudget(project_id: string, input: Partial<Budget>): Promise<Budget> {
    const budget_id = `budget-${(sequence += 1)}`;
    const asked = BudgetInput.parse({ name: budget_id, amount: "10", ...input });
    const stamps = { created_at: STAMP, updated_at: STAMP };
    const budget: Budget = { ...asked, budget_id, project_id, ...stamps };
    await this.state.put("budget", budget_id, { organization_id: "org", project_id }, budget);
    return budget;
  }

  async addRule(project_id: string, input: Partial<AlertRule>): Promise<AlertRule> {
    const rule_id = `rule-${(sequence += 1)}`;
    const asked = AlertRuleInput.parse({ name: rule_id, ...input });
    const rule: AlertRule = { ...asked, rule_id, project_id, created_at: STAMP, updated_at: STAMP };
    await this.state.put("alert_rule", rule_id, { organization_id: "org", project_id }, rule);
    return rule;
  }

  async addChannel(project_id: string, input: Partial<Channel>): Promise<Channel> {
    const channel_id = `channel-${(sequence += 1)}`;
    const channel: Channel = {
      channel_id,
      project_id,
      name: channel_id,
      kind: "webhook",
      url: null,
      secret: null,
      to: [],
      is_enabled: true,
      created_at: STAMP,
      updated_at: STAMP,
      ...input,
    };
    await this.state.put("channel", channel_id, { organization_id: "org", project_id }, channel);
    return channel;
  }
}

/** A call of a project at a time that costs so many US dollars; null: without a price. */
export function makeCall(
  project_id: string,
  at_ms: number,
  usd: number | null,
  changes: Partial<Span> = {},
): Span {
  sequence += 1;
  const hex = sequence.toString(16);
  const cost = usd === null ? null : BigInt(Math.round(usd * 1e6)) * 1_000_000n;
  return makeSpan({
    project_id,
    start_ns: BigInt(at_ms) * 1_000_000n,
    trace_id: idBytes(hex.padStart(32, "a")),
    span_id: idBytes(hex.padStart(16, "b")),
    response_id: `answer-${sequence}`,
    tokens: byClass({ input_uncached: 100, output_text: 20 }),
    cost: cost === null ? byClass<bigint>({}) : byClass({ input_uncached: cost, output_text: 0n }),
    cost_status: cost === null ? "unpriced" : "priced",
    price_id: cost === null ? "" : "openai/gpt-4o-mini/standard/initial",
    ...changes,
  });
}

/** Stores calls as the insert loop does. */
export function storeCalls(engine: Engine, calls: readonly Span[]): Promise<void> {
  sequence += 1;
  return insertSpans(engine, calls, sequence);
}
