/**
 * What people and jobs do with the services: each scenario is one request, and so one trace.
 *
 * Invariant: every scenario makes at least one call when one is left to it.
 */
import { type Agent, runAgent } from "./agents.ts";
import { answerCall, failCall, hideUsage, type ObservedCall, type Workload } from "./calls.ts";
import { ANTHROPIC_SDK, GENERATION_1, GENERATION_2, GENERATION_3 } from "./dialects.ts";
import { type ServiceName, versionOf, type Visitor } from "./fleet.ts";
import {
  CLAUDE_HAIKU_4_5,
  CLAUDE_SONNET_4_5,
  GEMINI_2_5_FLASH,
  GPT_4_1,
  GPT_4O_MINI,
  GPT_5_MINI,
  INHOUSE_SUMMARIZER,
  type Model,
  TEXT_EMBEDDING_3_SMALL,
} from "./models.ts";
import type { PlannedAttribute, PlannedSpan } from "./plan.ts";
import { drawInteger, drawOne, drawWeighted } from "./random.ts";
import {
  attemptCall,
  callSpan,
  holdSpans,
  type Instrumentation,
  plainSpan,
  type Scene,
  succeeded,
} from "./spans.ts";

/** A kind of request. */
export interface Scenario {
  readonly service_name: ServiceName;
  /** How often it happens, against the others. */
  readonly weight: number;
  /** Plays it; null when it made no call. */
  readonly play: (scene: Scene) => PlannedSpan | null;
}

const CHAT: Workload = {
  operation: "chat",
  streaming: true,
  input: { median: 1_500, sigma: 0.6, maximum: 24_000 },
  output: { median: 210, sigma: 0.7, maximum: 4_000 },
  reasoning: null,
  cached_share: 0.6,
  cached_tokens: 1_024,
};

const REASONING_CHAT: Workload = {
  ...CHAT,
  reasoning: { median: 420, sigma: 0.8, maximum: 8_000 },
};

/** Instructions long enough for the cache of Haiku 4.5, which begins at 4,096 tokens. */
const LONG_CHAT: Workload = {
  ...CHAT,
  input: { median: 6_200, sigma: 0.3, maximum: 24_000 },
  cached_share: 0.8,
  cached_tokens: 4_480,
};

const TRIAGE: Workload = {
  ...CHAT,
  streaming: false,
  input: { median: 2_600, sigma: 0.5, maximum: 16_000 },
  output: { median: 45, sigma: 0.4, maximum: 200 },
  cached_tokens: 0,
};

const EMBEDDING: Workload = {
  operation: "embeddings",
  streaming: false,
  input: { median: 28, sigma: 0.9, maximum: 8_000 },
  output: null,
  reasoning: null,
  cached_share: 0,
  cached_tokens: 0,
};

const RANKING: Workload = {
  ...EMBEDDING,
  operation: "chat",
  input: { median: 2_300, sigma: 0.4, maximum: 12_000 },
  output: { median: 55, sigma: 0.4, maximum: 400 },
};

const SUMMARY: Workload = {
  ...RANKING,
  input: { median: 5_800, sigma: 0.7, maximum: 60_000 },
  output: { median: 640, sigma: 0.5, maximum: 8_000 },
};

function instrument(
  service_name: ServiceName,
  generation: Instrumentation["generation"],
): Instrumentation {
  return { scope: { name: service_name, version: versionOf(service_name) }, generation };
}

const SUPPORT = instrument("support-chat", GENERATION_3);
const SEARCH = instrument("search-ranking", GENERATION_2);
const DOCUMENTS = instrument("doc-pipeline", GENERATION_1);
const REVIEW_SCOPE = instrument("code-review-agent", GENERATION_3).scope;
const ANTHROPIC: Instrumentation = {
  scope: { name: "com.anthropic.sdk.typescript", version: "1.11.0" },
  generation: ANTHROPIC_SDK,
};

function conversation(visitor: Visitor, feature: string): PlannedAttribute[] {
  return [
    ["user.id", visitor.user_id],
    ["gen_ai.conversation.id", visitor.session_id],
    ["spanledger.tag.feature", feature],
  ];
}

const SUPPORT_AGENT: Agent = {
  name: "refund-helper",
  model: GPT_5_MINI,
  scope: SUPPORT.scope,
  calls: SUPPORT,
  tools: ["lookup_order", "check_policy", "issue_refund"],
  max_turns: 4,
  context: { median: 1_400, sigma: 0.3, maximum: 8_000 },
  tool_result: { median: 260, sigma: 0.6, maximum: 2_000 },
  output: { median: 90, sigma: 0.5, maximum: 1_200 },
  reasoning: { median: 260, sigma: 0.7, maximum: 4_000 },
};

const REVIEWER: Agent = {
  name: "code-reviewer",
  model: CLAUDE_SONNET_4_5,
  scope: REVIEW_SCOPE,
  calls: ANTHROPIC,
  tools: ["read_file", "search_code", "run_tests"],
  max_turns: 6,
  context: { median: 9_000, sigma: 0.5, maximum: 60_000 },
  tool_result: { median: 1_700, sigma: 0.8, maximum: 12_000 },
  output: { median: 330, sigma: 0.6, maximum: 4_000 },
  reasoning: null,
};

/** A request to a service over HTTP: answers 502 when its model did not. */
function serveRequest(
  scene: Scene,
  route: string,
  scope: PlannedSpan["scope"],
  calls: readonly PlannedSpan[],
  answered: boolean,
): PlannedSpan | null {
  if (calls.length === 0) return null;
  const parent = plainSpan({
    name: `POST ${route}`,
    kind: "server",
    scope,
    attributes: [
      ["http.request.method", "POST"],
      ["http.route", route],
      ["http.response.status_code", answered ? 200 : 502],
    ],
    error_message: answered ? null : "the model did not answer",
  });
  return holdSpans(scene.random, parent, calls);
}

function playChatWith(scene: Scene, calls: readonly ObservedCall[]): PlannedSpan | null {
  const who = conversation(scene.visitor, "chat");
  const spans = calls.map((call) => callSpan(call, SUPPORT, who));
  return serveRequest(scene, "/chat", SUPPORT.scope, spans, succeeded(calls));
}

interface ChatChoice {
  readonly weight: number;
  readonly model: Model;
  readonly workload: Workload;
}

const CHAT_CHOICES: readonly [ChatChoice, ...ChatChoice[]] = [
  { weight: 70, model: GPT_4O_MINI, workload: CHAT },
  { weight: 18, model: GPT_5_MINI, workload: REASONING_CHAT },
  { weight: 12, model: CLAUDE_HAIKU_4_5, workload: LONG_CHAT },
];

function playChat(scene: Scene): PlannedSpan | null {
  const { model, workload } = drawWeighted(scene.random, CHAT_CHOICES);
  return playChatWith(scene, attemptCall(scene, model, workload));
}

/** A reader who closes the window: the stream ends before the chunk that tells the usage. */
function playAbandonedChat(scene: Scene): PlannedSpan | null {
  if (!scene.takeCall()) return null;
  const call = hideUsage(answerCall(scene.random, GPT_4O_MINI, CHAT));
  return playChatWith(scene, [{ ...call, finish_reason: null }]);
}

/** A bad minute at the provider: refused, broken, silent, and then an answer. */
function playOutage(scene: Scene): PlannedSpan | null {
  const calls: ObservedCall[] = [];
  for (const kind of ["rate_limit", "server_error", "timeout"] as const) {
    if (scene.takeCall()) calls.push(failCall(scene.random, GPT_4O_MINI, CHAT, kind));
  }
  if (scene.takeCall()) calls.push(answerCall(scene.random, GPT_4O_MINI, CHAT));
  return playChatWith(scene, calls);
}

function playSupportAgent(scene: Scene): PlannedSpan | null {
  const agent = runAgent(scene, SUPPORT_AGENT, conversation(scene.visitor, "refunds"));
  if (agent === null) return null;
  const answered = agent.error_message === null;
  return serveRequest(scene, "/refund", SUPPORT.scope, [agent], answered);
}

function playSearch(scene: Scene): PlannedSpan | null {
  const who: PlannedAttribute[] = [
    ["enduser.id", scene.visitor.user_id],
    ["session.id", scene.visitor.session_id],
    ["spanledger.tag.feature", "search"],
  ];
  const calls = attemptCall(scene, TEXT_EMBEDDING_3_SMALL, EMBEDDING);
  if (succeeded(calls)) calls.push(...attemptCall(scene, GEMINI_2_5_FLASH, RANKING));
  const spans = calls.map((call) => callSpan(call, SEARCH, who));
  return serveRequest(scene, "/search", SEARCH.scope, spans, succeeded(calls));
}

/** A job that works through a document in parts; nobody waits for it and no user is known. */
function playDocument(scene: Scene, model: Model): PlannedSpan | null {
  const customer = drawOne(scene.random, ["northwind", "contoso", "fabrikam"]);
  const extra: PlannedAttribute[] = [
    ["spanledger.tag.feature", "summaries"],
    ["spanledger.tag.customer", customer],
  ];
  const parts = drawInteger(scene.random, 1, 4);
  const calls: ObservedCall[] = [];
  for (let part = 1; part <= parts; part += 1) calls.push(...attemptCall(scene, model, SUMMARY));
  if (calls.length === 0) return null;
  const parent = plainSpan({
    name: "summarize document",
    kind: "internal",
    scope: DOCUMENTS.scope,
    attributes: [["document.parts", parts]],
  });
  const spans = calls.map((call) => callSpan(call, DOCUMENTS, extra));
  return holdSpans(scene.random, parent, spans);
}

function playReview(scene: Scene): PlannedSpan | null {
  const triage = attemptCall(scene, CLAUDE_HAIKU_4_5, TRIAGE);
  return runAgent(scene, REVIEWER, conversation(scene.visitor, "code-review"), triage);
}

/** Every kind of request. The weights are of requests; one may be many calls. */
export const SCENARIOS: readonly [Scenario, ...Scenario[]] = [
  { service_name: "support-chat", weight: 40, play: playChat },
  { service_name: "support-chat", weight: 0.6, play: playAbandonedChat },
  { service_name: "code-review-agent", weight: 5, play: playReview },
  { service_name: "search-ranking", weight: 26, play: playSearch },
  {
    service_name: "doc-pipeline",
    weight: 1.2,
    play: (scene) => playDocument(scene, INHOUSE_SUMMARIZER),
  },
  { service_name: "support-chat", weight: 0.3, play: playOutage },
  { service_name: "doc-pipeline", weight: 9, play: (scene) => playDocument(scene, GPT_4_1) },
  { service_name: "support-chat", weight: 5, play: playSupportAgent },
];
