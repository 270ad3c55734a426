/**
 * How an alert rule stands from one look to the next: ok, pending, firing or without data; when it is told
 * and when it is told to be over.
 *
 * Invariant: the next state is a function of the last one, what was found and the time; a notice is part
 * of the state that it belongs to, so that one written without the other is found and made good.
 */
import { z } from "zod";
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { ALERT_STATUSES, type AlertRule, type AlertStatus } from "../schemas/alerting.ts";
import { Notice } from "../schemas/notices.ts";
import { conditionOf, identityOf, makeRuleNotice, ruleNoticeId } from "./notices.ts";
import type { Finding } from "./rules.ts";

const MINUTE_MS = 60_000;

const RuleState = z.object({
  status: z.enum(ALERT_STATUSES),
  since_ms: z.number(),
  /** Of the condition that it is the state of. */
  condition: z.string(),
  /** The notice of a firing rule, and whether it was told: within the pause after another it is not. */
  firing: z.object({ notice_id: z.string(), is_told: z.boolean() }).nullable(),
  told_ms: z.number().nullable(),
  /** The last notice, which may not be stored yet. */
  notice: Notice.nullable(),
});
export type RuleState = z.infer<typeof RuleState>;

/** What comes next; the same object when nothing changes. */
export function stepRule(
  rule: AlertRule,
  last: RuleState | null,
  finding: Finding,
  now_ms: number,
): RuleState {
  const state = takeUp(rule, last, now_ms);
  return finding.verdict === "breached"
    ? stepBreached(rule, state, finding, now_ms)
    : stepOver(rule, state, finding, now_ms);
}

/** The last state, unless it is of another condition; times that lie ahead are of a clock put back. */
function takeUp(rule: AlertRule, last: RuleState | null, now_ms: number): RuleState {
  const condition = conditionOf(rule);
  if (last === null || last.condition !== condition) {
    const told_ms = null;
    return { status: "ok", since_ms: now_ms, condition, firing: null, told_ms, notice: null };
  }
  const is_ahead = last.since_ms > now_ms || (last.told_ms !== null && last.told_ms > now_ms);
  if (!is_ahead) return last;
  return {
    ...last,
    since_ms: Math.min(last.since_ms, now_ms),
    told_ms: last.told_ms === null ? null : Math.min(last.told_ms, now_ms),
  };
}

function stepBreached(
  rule: AlertRule,
  state: RuleState,
  finding: Finding,
  now_ms: number,
): RuleState {
  const since_ms = state.status === "pending" ? state.since_ms : now_ms;
  if (state.status !== "firing" && now_ms - since_ms < rule.for_minutes * MINUTE_MS) {
    return state.status === "pending" ? state : { ...state, status: "pending", since_ms };
  }
  const firing = state.firing ?? {
    notice_id: ruleNoticeId(rule, finding.window),
    is_told: false,
  };
  const fired: RuleState =
    state.status === "firing" ? state : { ...state, status: "firing", since_ms: now_ms, firing };
  const rests =
    state.told_ms !== null && now_ms - state.told_ms < rule.cooldown_minutes * MINUTE_MS;
  if (firing.is_told || rests) return fired;
  return {
    ...fired,
    firing: { ...firing, is_told: true },
    told_ms: now_ms,
    notice: makeRuleNotice("alert_firing", firing.notice_id, rule, finding, now_ms),
  };
}

function stepOver(rule: AlertRule, state: RuleState, finding: Finding, now_ms: number): RuleState {
  const status: AlertStatus = finding.verdict === "no_data" ? "no_data" : "ok";
  if (state.status === status) return state;
  const over: RuleState = { ...state, status, since_ms: now_ms, firing: null };
  if (state.firing?.is_told !== true || !rule.notify_resolved) return over;
  const notice_id = identityOf("resolved", state.firing.notice_id);
  return {
    ...over,
    notice: makeRuleNotice("alert_resolved", notice_id, rule, finding, now_ms),
  };
}

/** States as they are stored, each with its version. */
export interface StoredState {
  readonly state: RuleState;
  readonly version: bigint;
}

/** How the rules of a project stand, by rule; of all projects when it is the empty string. */
export async function readStates(
  engine: Engine,
  project_id = "",
): Promise<Map<string, StoredState>> {
  const rows = await engine.query<{ rule_id: string; body: string; version: string }>(
    loadQuery("select_alert_states"),
    { project_id },
  );
  const states = new Map<string, StoredState>();
  for (const { rule_id, body, version } of rows) {
    const state = RuleState.safeParse(JSON.parse(body));
    // One of another version of the program is as none: the rule is looked at afresh.
    if (state.success) states.set(rule_id, { state: state.data, version: BigInt(version) });
  }
  return states;
}

/** How a rule is to stand. */
export interface NewState extends StoredState {
  readonly rule: AlertRule;
}

/** Rules of one statement: a state with its notice is some KiB, and a statement has a longest length. */
const MAX_STATES = 1_000;

/** Stores how rules stand, durably. */
export async function writeStates(engine: Engine, states: readonly NewState[]): Promise<void> {
  for (let first = 0; first < states.length; first += MAX_STATES) {
    const some = states.slice(first, first + MAX_STATES);
    const params = {
      project_ids: some.map(({ rule }) => rule.project_id),
      rule_ids: some.map(({ rule }) => rule.rule_id),
      bodies: some.map(({ state }) => JSON.stringify(state)),
      versions: some.map(({ version }) => version),
    };
    await engine.command(loadQuery("insert_alert_states"), params, "insert");
  }
}
