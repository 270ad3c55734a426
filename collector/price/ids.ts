/**
 * The grammars of model ids: what stands in front of a model's own id, as tables. Whoever serves a
 * model writes its id differently: ARNs, geographies, publishers, routes of gateways.
 *
 * Invariant: only what a grammar names is taken off an id, so that what is left is still compared as a
 * whole.
 */

/** An id with one part less in front. */
export interface ShorterId {
  /** Who serves the model; "" when still unknown. */
  readonly provider: string;
  readonly id: string;
  /** The region that the part named; "" for none. */
  readonly region: string;
}

interface IdGrammar {
  readonly provider: string;
  /** Whether the form alone proves the provider. */
  readonly proves: boolean;
  /** Names `id` what is left, and may name a `region`. */
  readonly pattern: RegExp;
}

/** Forms of one provider, in the order in which they stand in an id. */
const GRAMMARS: readonly IdGrammar[] = [
  {
    // An application profile or provisioned throughput has a random name, and prices of its own.
    provider: "bedrock",
    proves: true,
    pattern:
      /^arn:aws[a-z-]*:bedrock:(?<region>[a-z0-9-]*):\d*:(?:foundation-model|inference-profile)\/(?<id>.+)$/,
  },
  { provider: "bedrock", proves: false, pattern: /^(?:converse|converse_like|invoke)\/(?<id>.+)$/ },
  {
    provider: "bedrock",
    proves: false,
    pattern: /^(?<region>[a-z]{2}(?:-[a-z]+)+-\d)\/(?<id>.+)$/,
  },
  {
    provider: "bedrock",
    proves: true,
    pattern:
      /^(?<region>global|us|us-gov|eu|apac|jp|au|ca|in|sa)\.(?<id>(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|mistral|moonshotai|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\..+)$/,
  },
  {
    provider: "vertex",
    proves: true,
    pattern: /^projects\/[^/]+\/locations\/(?<region>[^/]+)\/(?<id>publishers\/.+)$/,
  },
  { provider: "vertex", proves: true, pattern: /^publishers\/[^/]+\/models\/(?<id>.+)$/ },
  {
    provider: "vertex",
    proves: false,
    pattern: /^(?:anthropic|google|meta|mistralai)\/(?<id>.+)$/,
  },
  { provider: "vertex", proves: false, pattern: /^models\/(?<id>.+)$/ },
  { provider: "vertex", proves: false, pattern: /^(?<id>.+)@(?:default|latest)$/ },
  { provider: "google", proves: false, pattern: /^models\/(?<id>.+)$/ },
  {
    provider: "fireworks",
    proves: true,
    pattern: /^accounts\/fireworks\/(?:models|routers)\/(?<id>.+)$/,
  },
];

/** First words of ids, as gateways and frameworks write them, and the provider that each means. */
const SERVERS: ReadonlyMap<string, string> = new Map([
  ["anthropic", "anthropic"],
  ["azure", "azure"],
  ["azure_ai", "azure"],
  ["bedrock", "bedrock"],
  ["bedrock_converse", "bedrock"],
  ["cohere", "cohere"],
  ["cohere_chat", "cohere"],
  ["deepseek", "deepseek"],
  ["fireworks", "fireworks"],
  ["fireworks_ai", "fireworks"],
  ["gemini", "google"],
  ["google", "google"],
  ["google_genai", "google"],
  ["googleai", "google"],
  ["groq", "groq"],
  ["mistral", "mistral"],
  ["mistralai", "mistral"],
  ["openai", "openai"],
  ["openrouter", "openrouter"],
  ["perplexity", "perplexity"],
  ["together", "together"],
  ["together_ai", "together"],
  ["vertex", "vertex"],
  ["vertex_ai", "vertex"],
  ["vertexai", "vertex"],
  ["x-ai", "xai"],
  ["xai", "xai"],
]);

/** Parts that are taken off one id at most. */
export const MAX_ID_PARTS = 5;

/**
 * The id without what stands first in it, or null when nothing known does. A first word that means
 * another provider than the given one is left: `openai/gpt-4o` is what OpenRouter calls the model.
 * `knows` tells of further providers that may stand first.
 */
export function shortenId(
  provider: string,
  text: string,
  knows: (provider: string) => boolean,
): ShorterId | null {
  const slash = text.indexOf("/");
  const word = slash === -1 ? "" : text.slice(0, slash);
  const server = SERVERS.get(word) ?? (word !== "" && knows(word) ? word : undefined);
  // With the provider unknown, a provider in front of the model is the only statement there is.
  if (server !== undefined && (provider === "" || provider === server)) {
    return { provider: server, id: text.slice(slash + 1), region: "" };
  }
  for (const grammar of GRAMMARS) {
    if (provider !== grammar.provider && !(provider === "" && grammar.proves)) continue;
    const groups = grammar.pattern.exec(text)?.groups;
    const id = groups?.["id"];
    if (id !== undefined)
      return { provider: grammar.provider, id, region: groups?.["region"] ?? "" };
  }
  return null;
}
