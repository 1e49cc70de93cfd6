import { Document } from "@langchain/core/documents";
import {
  AIMessage,
  AIMessageChunk,
  type AIMessageFields,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { Send } from "@langchain/langgraph";
import { DeltaSnapshot, JsonPlusSerializer } from "@langchain/langgraph-checkpoint";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
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
    const { serialized } = await serializer.dump("value", value);
    const [, bytes] = await langGraphs.dumpsTyped(value);
    const loaded = await serializer.load(plain(serialized) as Serialized);
    expect(loaded).toStrictEqual(await langGraphs.loadsTyped("json", bytes));
    expect(JSON.stringify(loaded)).toBe(JSON.stringify(await langGraphs.loadsTyped("json", bytes)));
  });
});

describe("a dumped value", () => {
  class Tool {
    name = "search";
    run(): string {
      return "not stored";
    }
  }
  const live = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: "small" },
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.double(),
        fc.date({ noInvalidDate: false }),
        fc.uint8Array(),
        fc.constantFrom<unknown>(null, undefined, true, -0, () => 1, Symbol("a"), /a"/gi, new TypeError("b"), Tool),
        fc.constantFrom<unknown>(new Tool(), Object(1), Object("a"), Object(false), Buffer.from("a"), new URL("a:b")),
        fc.constantFrom<unknown>(...messages, { toJSON: (key: string) => ({ key, again: [undefined] }) }),
        fc.constantFrom<unknown>(
          Object.assign(() => 1, { toJSON: (key: string) => ({ key }) }),
          { toJSON: () => Tool },
        ),
      ),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.array(tie("value"), { maxLength: 3 }).map((members) => new Set(members)),
      fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 3 }).map((entries) => new Map(entries)),
      fc.dictionary(key, tie("value"), { maxKeys: 3 }),
      tie("value").map((value) => new DeltaSnapshot(value)),
      tie("value").map((args) => new Send("node", args)),
      tie("value").map((value) => Object.assign(new Array<unknown>(2), { 1: value, total: 1 })),
      fc.json().map((text) => JSON.parse(`{"__proto__":${text}}`) as unknown),
    ),
  })).value;
  const text = async (value: unknown) => new TextDecoder().decode((await langGraphs.dumpsTyped(value))[1]);

  it("is the JSON that LangGraph's serializer writes, whatever was dumped before it", async () => {
    await fc.assert(
      fc.asyncProperty(live, live, async (before, after) => {
        const wrapped = [before, { after }];
        const earlier = await serializer.dump("value", [before, { after: before }]);
        const { serialized } = await serializer.dump("value", wrapped, earlier);
        expect(JSON.stringify(serialized[1])).toBe(await text(wrapped));
        expect(JSON.stringify(earlier.serialized[1])).toBe(await text([before, { after: before }]));
      }),
      { numRuns: 2_000 },
    );
  });

  it("shares what is equal with the value before it, and is frozen", async () => {
    const before = await serializer.dump("value", [{ a: 1 }, "é\ud800", messages[1], { gone: 1 }]);
    const after = await serializer.dump("value", [{ a: 1 }, "é\ud800", messages[1], { b: [2] }], before);
    const [elements, elementsBefore] = [after.serialized[1], before.serialized[1]] as object[][];
    for (const at of [0, 2]) expect(elements?.[at]).toBe(elementsBefore?.[at]);
    expect([after.serialized, elements, elements?.[2], elements?.[3]].every(Object.isFrozen)).toBe(true);
    expect((await serializer.dump("value", [{ a: 1 }, "é\ud800", messages[1], { b: [2] }], after)).serialized).toBe(
      after.serialized,
    );
  });

  it.each<[string, unknown]>([
    ["data, and texts that look like them", { rows: [{ id: 1n }, -(2n ** 80n), "1n", "1"] }],
    ["a message", [new ToolMessage({ content: "a", tool_call_id: "1", artifact: { id: 1n, ids: [2n] } })]],
    ["a message beside data", { id: 3n, messages: [new AIMessage({ content: "", additional_kwargs: { id: 4n } })] }],
    ["a Map, a Set and a snapshot", [new Map([[1n, new Set([2n, "2"])]]), new DeltaSnapshot([3n]), undefined]],
  ])("keeps bigints in %s", async (_name, value) => {
    const { serialized } = await serializer.dump("value", value);
    expect(await serializer.load(structuredClone(serialized))).toStrictEqual(value);
  });

  const throws = () => {
    throw new Error("secret");
  };
  const itself: Record<string, unknown> = { name: "node" };
  itself["next"] = { previous: itself };
  const map = new Map<string, unknown>();
  map.set("me", map);
  const refused: [string, unknown, string][] = [
    ["a toJSON that throws", { toJSON: throws }, "threw an error while it was read"],
    [
      "a getter that throws",
      Object.defineProperty({}, "a", { get: throws, enumerable: true }),
      ".a threw an error while it was read",
    ],
    ["a cycle", itself, ".next.previous is a cycle: it contains itself"],
    ["a Map in itself", map, ".args[0][0][1] is a cycle: it contains itself"],
    [
      "too many levels",
      Array.from({ length: 2_000 }).reduce((inner) => [inner], 1),
      "is nested deeper than 1000 levels",
    ],
  ];
  it.each(refused)("refuses %s with its path", async (_name, value, problem) => {
    await expect(serializer.dump("value", value)).rejects.toMatchObject({ code: "UNSUPPORTED_VALUE" });
    const error: Error = await serializer
      .dump("value", { list: [{ "a key": value }, 1] })
      .then(throws, (reason) => reason);
    expect(error.message.startsWith('value.list[0]["a key"]')).toBe(true);
    expect(error.message.endsWith(problem)).toBe(true);
    expect(error.message.length).toBeLessThan(150);
  });

  it("refuses what a message cannot hold, and takes data that looks like what LangChain writes for that", async () => {
    const message = (artifact: unknown) => ({
      messages: [new ToolMessage({ content: "a", tool_call_id: "1", artifact })],
    });
    const refusal = (value: unknown) => serializer.dump("value", value).then(throws, (error: Error) => error.message);
    expect(await refusal(message({ toJSON: throws }))).toBe(
      "value.messages[0].kwargs.artifact threw an error while it was read",
    );
    const unwritable = "is what LangChain cannot serialize: an object of a class, or one that contains itself";
    expect(await refusal(message(itself))).toBe(`value.messages[0].kwargs.artifact.next.previous ${unwritable}`);
    expect(await refusal([tool(() => "", { name: "a", schema: z.object({}) })])).toBe(`value[0] ${unwritable}`);
    const alike = { lc: 1, type: "not_implemented", id: ["a"] };
    for (const value of [alike, message(alike), message({ a: [alike] })]) {
      expect(await serializer.load(structuredClone((await serializer.dump("value", value)).serialized))).toStrictEqual(
        value,
      );
    }
  });

  const own = new Serializer(new (class extends JsonPlusSerializer {})(), false);

  it.each<[string, string]>([
    [
      "a toJSON that throws",
      "value has a part that the serializer cannot write, such as a bigint or a toJSON that throws",
    ],
    ["a getter that throws", "secret"], // it ends the call of LangGraph's serializer
    ["a cycle", "value has a part that contains itself"],
    ["a Map in itself", "value has a part that the serializer cannot write, such as a bigint or a toJSON that throws"],
  ])("is refused if a serializer built upon LangGraph's replaces it by a text: %s", async (name, message) => {
    const value = refused.find(([of]) => of === name)?.[1];
    for (const one of [value, [{ a: [value] }]]) await expect(own.dump("value", one)).rejects.toThrow(message);
  });

  it("is refused there if it is a bigint, and may be such a text itself", async () => {
    await expect(own.dump("value", [1n])).rejects.toMatchObject({ code: "UNSUPPORTED_VALUE" });
    const texts = ["[Circular]", "[unable to serialize, circular reference is too complex to analyze]"];
    for (const same of [texts, texts[1]]) expect((await own.dump("value", same)).serialized).toEqual(["json", same]);
  });

  it("is refused if it or its toJSON's result is a function or a symbol, unless that has a toJSON", async () => {
    const problem = (value: unknown) => serializer.dump("value", value).then(throws, (error: Error) => error.message);
    expect(await problem(() => 1)).toBe("value is a function, which cannot be stored");
    expect(await problem({ toJSON: () => Symbol("a") })).toBe(
      "value has a toJSON that returns a function or symbol, which cannot be stored",
    );
    const kept = Object.assign(() => 1, { toJSON: () => "kept" });
    for (const value of [kept, { a: kept, b: [kept] }]) {
      expect(JSON.stringify((await serializer.dump("value", value)).serialized[1])).toBe(await text(value));
    }
  });

  it("is named by its path, where characters that do not show are escaped", async () => {
    const value = { "a\u202eb": [{ toJSON: throws }] };
    await expect(serializer.dump("value", value)).rejects.toThrow('value["a\\u202eb"][0] threw an error');
  });
});
