/** Words of emitters to ours, from the tables of research/dialects.md section 1.7. */
import { describe, expect, test } from "vitest";
import { nameFinishReason, nameProvider, nameResponseId, nameServiceTier } from "./vocabulary.ts";

describe("providers", () => {
  test.each([
    ["openai", "openai openai.chat openai.responses OpenAI"],
    ["anthropic", "anthropic anthropic.messages"],
    ["google", "google google.generative-ai gcp.gen_ai gcp.gemini gemini"],
    ["vertex", "gcp.vertex_ai vertex_ai"],
    ["bedrock", "aws.bedrock aws bedrock amazon-bedrock"],
    ["azure", "az.ai.openai azure.ai.openai Azure"],
    ["deepseek", "deepseek DeepSeek"],
  ])("%s is meant by %s", (provider, spellings) => {
    for (const sent of spellings.split(" ")) {
      expect([sent, nameProvider(sent, "")]).toEqual([sent, provider]);
    }
  });

  test("a framework is no provider: the model tells", () => {
    const frameworks = "strands-agents gcp.vertex.agent langchain crewai _OTHER Unknown";
    for (const sent of frameworks.split(" ")) {
      expect(nameProvider(sent, "claude-sonnet-4-5")).toBe("anthropic");
      expect(nameProvider(sent, "my-finetune")).toBe("");
    }
  });

  test.each([
    ["gpt-4o-mini-2024-07-18", "openai"],
    ["o3", "openai"],
    ["o4-mini", "openai"],
    ["text-embedding-3-small", "openai"],
    ["GPT-5-mini", "openai"],
    ["claude-haiku-4-5-20251001", "anthropic"],
    ["gemini-2.5-flash", "google"],
    ["text-embedding-004", ""],
    ["llama-3.1-70b", ""],
    ["not-gpt-4", ""],
    ["", ""],
  ])("the model %s alone means %j", (model, provider) => {
    expect(nameProvider(undefined, model)).toBe(provider);
    expect(nameProvider("  ", model)).toBe(provider);
  });

  test("whoever names a provider is believed, whatever the model", () => {
    expect(nameProvider("azure.ai.openai", "gpt-4o")).toBe("azure");
    expect(nameProvider("__proto__", "gpt-4o")).toBe("__proto__");
  });
});

describe("finish reasons", () => {
  test.each([
    ["tool_call", "tool_calls tool_call tool-calls tool_use toolUse function_call"],
    ["stop", "stop end_turn endTurn STOP stop_sequence completed"],
    ["length", "length max_tokens MAX_TOKENS max_output_tokens"],
    ["content_filter", "content_filter content-filter SAFETY refusal"],
    ["error", "error"],
  ])("%s is meant by %s", (reason, spellings) => {
    for (const sent of spellings.split(" ")) {
      expect([sent, nameFinishReason(sent)]).toEqual([sent, reason]);
    }
  });

  test("no reason is empty, an unknown one is kept", () => {
    expect(nameFinishReason(undefined)).toBe("");
    expect(nameFinishReason("pause_turn")).toBe("pause_turn");
    expect(nameFinishReason("__proto__")).toBe("__proto__");
  });
});

test.each([
  ["msg_01", "msg_01"],
  ["req_011C", ""],
  ["aitxt-abcdefghijklmnop1234", ""],
])("the response id %s is %j: an id of a request or of a client is none", (sent, expected) => {
  expect(nameResponseId(sent)).toBe(expected);
});

test.each([
  ["normal", "standard"],
  ["fast", "fast"],
  ["Flex", "flex"],
  ["", ""],
])("the service tier %j is %j", (sent, expected) => {
  expect(nameServiceTier(sent)).toBe(expected);
});
