import { Document } from "@langchain/core/documents";
import {
  AIMessage,
  AIMessageChunk,
  type AIMessageFields,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from "@langchain/core/messages";
import { DeltaSnapshot, JsonPlusSerializer } from "@langchain/langgraph-checkpoint";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { share } from "../src/last-puts.ts";
import { type Serialized, Serializer } from "../src/serializer.ts";

const langGraphs = new JsonPlusSerializer();
const serializer = new Serializer(langGraphs, true);

const call = { name: "search", args: { query: "a" }, id: "call 1" };
const messages = [
  new SystemMessage("Answer."),
  new HumanMessage({ id: "question", content: [{ type: "text", text: "Why?" }], name: "user" }),
  new AIMessage({
    id: "call",
    content: "",
    tool_calls: [{ ...call, type: "tool_call" }],
    invalid_tool_calls: [{ ...call, args: "{", error: "no JSON" }],
    response_metadata: { model_name: "model", nested: { snake_case: [1] } },
  }),
  new AIMessage({ content: "a", usage_metadata: { input_tokens: 1, output_tokens: 2 } } as object as AIMessageFields),
  new ToolMessage({ content: "found", tool_call_id: "call 1", status: "error", artifact: { rows: [{ a: 1 }] } }),
  new AIMessageChunk({ content: "because", tool_call_chunks: [{ name: "search", args: "{", index: 0 }] }),
  new AIMessage({ content: [{ type: "text", text: "v1" }], response_metadata: { output_version: "v1" } }),
];

const lcRecord = fc.record(
  {
    lc: fc.constantFrom<unknown>(1, 2, "1", null),
    type: fc.constantFrom("constructor", "undefined", "delta_snapshot", "secret", "not_implemented", "other"),
    id: fc.constantFrom<unknown>(
      ["langchain_core", "messages", "HumanMessage"],
      ["langchain_core", "messages", "Nobody"],
      ["Set"],
      ["Map"],
      [],
      "HumanMessage",
    ),
    kwargs: fc.constantFrom<unknown>(
      { content: "a" },
      { content: { __lc_escaped__: { lc: 1 } } },
      { content: { lc: 2 } },
      1,
    ),
    args: fc.constantFrom<unknown>([[]], [[["a", 1]]], [["a"]]),
    value: fc.constant([1]),
  },
  { requiredKeys: ["lc"] },
);

const key = fc.oneof(fc.constantFrom("a", "lc", "__lc_escaped__"), fc.string());

/** Data that may be stored, by any program. */
const { data } = fc.letrec<{ data: unknown }>((tie) => ({
  data: fc.oneof(
    { depthSize: "small" },
    fc.oneof(fc.constantFrom(null, true, 1, "text"), fc.string(), lcRecord, fc.constantFrom(...messages.map(plain))),
    fc.array(tie("data"), { maxLength: 3 }),
    fc
      .array(fc.oneof(fc.tuple(key, tie("data")), fc.constant(["__proto__", { inherited: true }] as const)), {
        maxLength: 3,
      })
      .map((entries) => Object.fromEntries(entries)),
  ),
}));

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Returns the result, or the message of the error. */
async function outcome(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    (value) => ({ value }),
    (error: Error) => ({ message: error.message }),
  );
}

describe("a loaded value", () => {
  it("equals the value that LangGraph's serializer reads, for any stored data", async () => {
    await fc.assert(
      fc.asyncProperty(data, async (stored) => {
        const text = JSON.stringify(stored);
        const loaded = await outcome(serializer.load(["json", JSON.parse(text)]));
        expect(loaded).toStrictEqual(await outcome(langGraphs.loadsTyped("json", text)));
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ["messages", messages],
    ["messages within data", { agent: { messages, turn: 1 }, list: [[messages[0]]] }],
    ["an object that contains objects", new Document({ pageContent: "a", metadata: { by: new HumanMessage("b") } })],
    ["messages beside other objects", [...messages, new Map([["a", new Set([1])]]), /a/g, new DeltaSnapshot([1])]],
    [
      "user data that looks like an object",
      new HumanMessage({ content: "a", additional_kwargs: { lc: 1, id: ["a"] } }),
    ],
    ["more levels than LangChain loads", [Array.from({ length: 60 }).reduce((inner) => [inner], 1), messages[0]]],
  ])("equals it for %s", async (_, value) => {
    const { serialized, data: bytes } = await serializer.dump("value", value);
    const loaded = await serializer.load(plain(serialized) as Serialized);
    expect(loaded).toStrictEqual(await langGraphs.loadsTyped("json", bytes));
    expect(JSON.stringify(loaded)).toBe(JSON.stringify(await langGraphs.loadsTyped("json", bytes)));
  });
});

describe("an array with appended elements", () => {
  const dump = async (value: unknown, earlier?: Awaited<ReturnType<Serializer["dump"]>>) => {
    const dumped = await serializer.dump("value", value, earlier);
    return { ...dumped, serialized: share(earlier?.serialized, dumped.serialized) };
  };

  it("is serialized as without an earlier array", async () => {
    const lists = fc.array(fc.jsonValue(), { maxLength: 3 });
    const states = fc
      .tuple(lists, lists, lists, fc.boolean())
      .map(([kept, before, after, edited]) => [edited ? [...kept, ...before] : kept, [...kept, ...after]] as const);
    await fc.assert(
      fc.asyncProperty(fc.oneof(states, fc.tuple(fc.jsonValue(), fc.jsonValue())), async ([before, after]) => {
        const { serialized, data: bytes } = await dump(after, await dump(before));
        expect([serialized, bytes]).toStrictEqual(Object.values(await serializer.dump("value", after)));
        expect(JSON.stringify(serialized[1])).toBe(new TextDecoder().decode(bytes));
      }),
      { numRuns: 1_000 },
    );
  });

  it("reuses the earlier elements, and freezes the others", async () => {
    const before = await dump([{ a: 1 }, "é\ud800"]);
    const after = await dump([{ a: 1 }, "é\ud800", { b: [2] }], before);
    const [elements, elementsBefore] = [after.serialized[1], before.serialized[1]] as object[][];
    expect(elements).toEqual([{ a: 1 }, "é\ud800", { b: [2] }]);
    expect(elements?.[0]).toBe(elementsBefore?.[0]);
    expect([after.serialized, elements, elements?.[2]].every(Object.isFrozen)).toBe(true);
  });
});
