/** Alert rules with how each stands, and the attempts to deliver what they and budgets had to tell. */
import type { AlertRuleAnswer, AlertRulesAnswer } from "../../schemas/alerting.ts";
import type { DeliveriesAnswer, Delivery } from "../../schemas/notices.ts";
import type { Answer } from "../answers.ts";
import { countColumn, instantColumn, textColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { showDuration } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { TableData } from "../table.ts";
import { conditionWords, ruleState, scopeWords } from "./budget-words.ts";

const ORDER = ["firing", "pending", "no_data", "ok"];

/** Rules, those that fire first. */
export function sortRules(alerts: readonly AlertRuleAnswer[]): readonly AlertRuleAnswer[] {
  const rank = ({ is_enabled, state }: AlertRuleAnswer) =>
    is_enabled && state !== null ? ORDER.indexOf(state.status) : ORDER.length;
  return alerts.toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

interface RulesProps {
  readonly answer: Answer<AlertRulesAnswer>;
  readonly tz: string;
}

/** The rules. */
export function RulesFigure({ answer, tz }: RulesProps): VNode {
  const table = useCallback(
    ({ alerts }: AlertRulesAnswer): TableData<AlertRuleAnswer> => ({
      columns: [
        textColumn("name", "Rule", ({ name }) => name),
        {
          key: "state",
          title: "State",
          value: ({ state }) => state?.status,
          show: (rule) =>
            html`<span class=${`state ${rule.is_enabled ? (rule.state?.status ?? "") : "off"}`}
              >${ruleState(rule)}</span
            >`,
        },
        instantColumn("since", "Since", ({ state }) => state?.since, tz),
        {
          key: "condition",
          title: "Fires when",
          value: conditionWords,
          show: (rule) => html`<span class="wrapped">${conditionWords(rule)}</span>`,
        },
        textColumn("scope", "Of", scopeWords),
        textColumn("for", "Must hold", ({ for_minutes }) =>
          for_minutes === 0 ? "at once" : `${for_minutes} min`,
        ),
      ],
      rows: sortRules(alerts),
    }),
    [tz],
  );
  return html`<${Figure}
    title="Alert rules"
    subtitle="Looked at once a minute; those that fire first"
    width="full"
    height=${80}
    answer=${answer}
    file="alert-rules"
    table=${table}
    when_empty="No alert rule yet. A rule watches any measure: errors above 5 %, cost that doubles, silence. POST /v1/alerts makes one."
    footer=${() => html`<a href="/docs">How rules are made and changed</a>`}
  />`;
}

const KINDS: Readonly<Record<Delivery["kind"], string>> = {
  budget_threshold: "Budget",
  alert_firing: "Alert fires",
  alert_resolved: "Alert is over",
  quota_reached: "Quota",
  test: "Test",
};
const OUTCOMES: Readonly<Record<Delivery["outcome"], string>> = {
  delivered: "✓ Delivered",
  retrying: "… To be tried again",
  gave_up: "▲ Given up",
};

interface DeliveriesProps {
  readonly answer: Answer<DeliveriesAnswer>;
  /** Names of budgets and rules by their id. */
  readonly names: ReadonlyMap<string, string>;
  readonly tz: string;
}

/** The last attempts to deliver a notice. */
export function DeliveriesFigure({ answer, names, tz }: DeliveriesProps): VNode {
  const table = useCallback(
    ({ deliveries }: DeliveriesAnswer): TableData<Delivery> => ({
      columns: [
        instantColumn("attempted_at", "When", ({ attempted_at }) => attempted_at, tz),
        textColumn("kind", "What", ({ kind }) => KINDS[kind]),
        textColumn("subject_id", "About", ({ subject_id }) => names.get(subject_id) ?? subject_id),
        textColumn("channel", "To", ({ channel_id, channel_kind }) =>
          channel_kind === null ? channel_id : `${channel_id} (${channel_kind})`,
        ),
        {
          key: "outcome",
          title: "Outcome",
          value: ({ outcome }) => outcome,
          show: ({ outcome }) =>
            html`<span class=${`state ${outcome}`}>${OUTCOMES[outcome]}</span>`,
        },
        textColumn("error", "Answer", ({ error, status_code }) =>
          status_code === null ? error : `HTTP ${status_code}`,
        ),
        countColumn("attempt", "Attempt", ({ attempt }) => attempt),
        {
          key: "duration_ms",
          title: "Took",
          value: ({ duration_ms }) => duration_ms,
          show: ({ duration_ms }) => showDuration(duration_ms * 1e6),
          is_number: true,
        },
      ],
      rows: deliveries,
    }),
    [names, tz],
  );
  return html`<${Figure}
    title="Latest deliveries"
    subtitle="Attempts to tell a channel, newest first"
    width="full"
    height=${80}
    answer=${answer}
    file="deliveries"
    table=${table}
    when_empty="Nothing was delivered yet. Notices go to the channels of the project."
  />`;
}
