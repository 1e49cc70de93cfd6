import type { AgentInputItem } from "@openai/agents-core";
import fc from "fast-check";

/** Items of a session: all that the SDK's own schema allows and its copies keep. */

const text = fc.oneof(
  fc.constantFrom("", "Zoë", "📦", "a\0b", "\ud800", "$", "x".repeat(5_000)),
  fc.string({ unit: "binary", maxLength: 20 }),
);

const data = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(undefined, -0, new Uint8Array([0, 255]), { $: ["date", 1] }),
);

const providerData = fc.option(
  fc.dictionary(
    fc.constantFrom("model", "$schema", "a", "1"),
    data.filter((value) => typeof value !== "bigint"),
  ),
  { nil: undefined },
);

/** So few that mutations match some items, and sometimes several. */
export const callId = fc.constantFrom("call 1", "call 2", "call 3");

type FunctionCall = Extract<AgentInputItem, { type: "function_call" }>;

export const functionCall: fc.Arbitrary<FunctionCall> = fc.record(
  {
    type: fc.constant("function_call"),
    callId,
    name: fc.constantFrom("look_up_order", "refund"),
    status: fc.constantFrom("in_progress", "completed"),
    arguments: text,
    providerData,
  },
  { requiredKeys: ["type", "callId", "name", "status", "arguments"] },
) as fc.Arbitrary<FunctionCall>;

export const item: fc.Arbitrary<AgentInputItem> = fc.oneof(
  functionCall,
  fc.record({ role: fc.constant("user"), content: text, providerData }, { requiredKeys: ["role", "content"] }),
  fc.record({
    type: fc.constant("message"),
    role: fc.constant("assistant"),
    status: fc.constant("completed"),
    content: fc.array(fc.record({ type: fc.constant("output_text"), text }), { maxLength: 2 }),
  }),
  fc.record({
    type: fc.constant("function_call_result"),
    callId,
    name: fc.constant("refund"),
    status: fc.constant("completed"),
    output: fc.record({ type: fc.constant("text"), text }),
  }),
) as fc.Arbitrary<AgentInputItem>;

export const items = fc.array(item, { maxLength: 4 });
