/**
 * Which attribute keys hold content: prompts, answers, tool arguments, documents, errors that quote
 * them. Data for `content.ts`; keys are in lower case.
 *
 * Invariant: a key is judged by itself, never by the value, so a verdict can be remembered.
 */

/**
 * What the value of a key may be:
 * - `content`: nothing of it is kept, whatever its type;
 * - `suspect`: the key speaks of content, so only numbers and flags are kept;
 * - `url`: a URL or path, kept without what follows the path;
 * - `numbers`: an object of counts or amounts as JSON, kept unless it is long;
 * - `plain`: kept when the value itself is unsuspicious.
 */
export type KeyVerdict = "content" | "suspect" | "url" | "numbers" | "plain";

/** A set of the words of the lines. */
function wordSet(...lines: readonly string[]): ReadonlySet<string> {
  return new Set(lines.flatMap((line) => line.split(" ")));
}

/** Longest key that is kept, characters. The longest known one has 90. */
const MAX_PLAIN_KEY_LENGTH = 128;

/** Keys that hold content, exactly: those that the words below would miss come last. */
const CONTENT_KEYS: ReadonlySet<string> = new Set([
  "gen_ai.input.messages",
  "gen_ai.output.messages",
  "gen_ai.system_instructions",
  "gen_ai.tool.definitions",
  "gen_ai.tool.description",
  "gen_ai.tool.call.arguments",
  "gen_ai.tool.call.result",
  "gen_ai.retrieval.query.text",
  "gen_ai.retrieval.documents",
  "gen_ai.prompt",
  "gen_ai.completion",
  "gen_ai.event.content",
  "gen_ai.evaluation.explanation",
  "exception.message",
  "exception.stacktrace",
  "input.value",
  "output.value",
  "llm.input_messages",
  "llm.output_messages",
  "llm.prompts",
  "llm.completions",
  "ai.prompt",
  "ai.prompt.messages",
  "ai.prompt.tools",
  "ai.response.text",
  "ai.response.reasoning",
  "ai.toolcall.args",
  "ai.toolcall.result",
  "langfuse.observation.input",
  "langfuse.observation.output",
  "langfuse.trace.input",
  "langfuse.trace.output",
  "traceloop.entity.input",
  "traceloop.entity.output",
  "gcp.vertex.agent.llm_request",
  "gcp.vertex.agent.llm_response",
  "gcp.vertex.agent.tool_call_args",
  "gcp.vertex.agent.tool_response",
  "gcp.vertex.agent.data",
  "genkit:input",
  "genkit:output",
  "request_data",
  "response_data",
  "tool_response",
  "message",
  "content",
  "url.query",
  "url.fragment",
  "ai.response.object",
  "ai.response.toolcalls",
  "ai.response.files",
  "ai.response.providermetadata",
  "ai.value",
  "ai.values",
  "events",
  "langfuse.observation.status_message",
]);

/** Beginnings of keys that hold content, as instrumentations spread messages over many keys. */
const CONTENT_PREFIXES: readonly string[] = [
  "gen_ai.prompt.",
  "gen_ai.completion.",
  "gen_ai.input.messages.",
  "gen_ai.output.messages.",
  "llm.prompts.",
  "llm.completions.",
  "llm.input_messages.",
  "llm.output_messages.",
  "llm.prompt_template.",
  "llm.tools.",
  "llm.request.functions.",
  "embedding.embeddings.",
  "retrieval.documents.",
  "tool.parameters",
  "traceloop.prompt.template",
  // Headers hold keys and cookies, and gateways pass prompts in them.
  "http.request.header.",
  "http.response.header.",
  "ai.request.headers.",
  "mastra.metadata.headers",
];

/** LiteLLM copies each raw field of a request, `system` being Anthropic's system prompt. */
const RAW_SYSTEM_PROMPT = /^llm\.[^.]+\.system$/;

/** Keys that the words below would take for content and that hold none. */
const PLAIN_KEYS: ReadonlySet<string> = new Set([
  "gen_ai.prompt.name",
  "gen_ai.prompt.version",
  "gen_ai.output.type",
  "db.query.summary",
  "os.description",
  "process.command",
  "process.runtime.description",
]);

/** Counts and amounts by name, as JSON. */
const NUMBERS_KEYS: ReadonlySet<string> = new Set([
  "langfuse.observation.usage_details",
  "langfuse.observation.cost_details",
  "langsmith.usage_metadata",
  "gen_ai.usage.input_token_details",
  "gen_ai.usage.output_token_details",
]);

/** URLs that are not told by the last word of their key. */
const URL_KEYS: ReadonlySet<string> = new Set(["url.full", "http.target", "http.route"]);
const URL_WORDS = wordSet("url uri href path referer");

/** Words that speak of content wherever they stand in a key. */
const CONTENT_WORDS = wordSet(
  "answer answers arg args argument arguments backstory backtrace body choices chunk chunks command",
  "comment content contents context contexts definition definitions description document documents",
  "embedding embeddings explanation feedback goal history input inputs memory msg output outputs",
  "param parameter parameters params passage payload queries query question questions reasoning",
  "reply result results snippet stacktrace statement summary text texts thinking thought thoughts",
  "utterance vector",
);

/** Beginnings of such words, for keys that glue words together (`systemprompt`, `langfusePrompt`). */
const CONTENT_STEMS: readonly string[] = [
  "prompt",
  "completion",
  "message",
  "instruction",
  "transcript",
];

/** Words that speak of content only at the end of a key (`llm_request`, not `request.model`). */
const LAST_CONTENT_WORDS = wordSet("data error request response");

/** Words that make a key a measure, wherever they stand (`prompt_tokens`, `llm.cost.prompt`). */
const MEASURE_WORDS = wordSet("token tokens cost count");

/** Words that make a key a name or a property of the thing when they stand last. */
const LAST_PLAIN_WORDS = wordSet(
  "at bytes duration effort format hash id ids index length level mode model ms name ns provider",
  "reason role seconds size status tier time timestamp type version",
);

function wordsOf(key: string): string[] {
  const spaced = key.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  return spaced.split(/[^a-z]+/).filter((word) => word !== "");
}

/** Whether one of the words speaks of content and none says that it is a measure or a name. */
function speaksOfContent(words: readonly string[]): boolean {
  const last = words.at(-1) ?? "";
  if (LAST_PLAIN_WORDS.has(last)) return false;
  if (words.some((word) => MEASURE_WORDS.has(word))) return false;
  if (LAST_CONTENT_WORDS.has(last)) return true;
  return words.some(
    (word) => CONTENT_WORDS.has(word) || CONTENT_STEMS.some((stem) => word.includes(stem)),
  );
}

/** The verdict on a key as sent; case does not matter. */
export function judgeKey(key: string): KeyVerdict {
  if (key.length > MAX_PLAIN_KEY_LENGTH) return "content";
  const lower = key.toLowerCase();
  if (PLAIN_KEYS.has(lower)) return "plain";
  if (NUMBERS_KEYS.has(lower)) return "numbers";
  if (CONTENT_KEYS.has(lower) || RAW_SYSTEM_PROMPT.test(lower)) return "content";
  if (CONTENT_PREFIXES.some((prefix) => lower.startsWith(prefix))) return "content";
  if (URL_KEYS.has(lower)) return "url";
  const words = wordsOf(key);
  if (speaksOfContent(words)) return "suspect";
  return URL_WORDS.has(words.at(-1) ?? "") ? "url" : "plain";
}
