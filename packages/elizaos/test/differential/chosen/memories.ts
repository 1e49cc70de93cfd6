import type { Call } from "../calls.ts";
import { AGENTS, DIMENSIONS, vectorsOf } from "../material.ts";
import { call, dice, E, EXAMPLES, NOBODY, OTHER_E, OTHER_R, R, W } from "./ids.ts";

const [A, B] = AGENTS;

/** Calls about vectors. */
export function memoryCalls(): Call[] {
  return [...vectors(), ...zeroVectors(), ...otherVectors(), ...uniqueness(), ...documents(), ...cachedEmbeddings()];
}

/** Vectors of each length that plugin-sql has a column for. */
function vectors(): Call[] {
  const ids = DIMENSIONS.map(() => dice.uuid());
  const base = { entityId: E, roomId: OTHER_R };
  const query = { tableName: "lengths", roomId: OTHER_R };
  return [
    ...DIMENSIONS.flatMap((dimensions, at) => {
      const [one, two, , far] = vectorsOf(dimensions);
      const id = ids[at] as string;
      return [
        call(1, "ensureEmbeddingDimension", dimensions),
        call(1, "createMemory", { ...base, id, content: { dimensions }, embedding: one }, "lengths"),
        call(1, "getMemoryById", id),
        call(1, "createMemory", { ...base, content: { near: true }, embedding: two }, "lengths"),
        call(1, "createMemory", { ...base, content: { near: false }, embedding: far }, "lengths"),
        call(1, "searchMemories", { ...query, embedding: two, match_threshold: 0.7 }),
        call(1, "searchMemories", { ...query, embedding: two, unique: true, count: 2 }),
        call(1, "countMemories", OTHER_R, true, "lengths"),
        // The first one has a vector of each length.
        call(1, "updateMemory", { id: ids[0], embedding: far }),
      ];
    }),
    ...DIMENSIONS.flatMap((dimensions) => [
      call(1, "ensureEmbeddingDimension", dimensions),
      call(1, "getMemoriesByIds", ids),
      call(1, "getMemories", query),
      call(1, "searchMemories", { ...query, embedding: vectorsOf(dimensions)[3], match_threshold: 0.7 }),
    ]),
    call(1, "ensureEmbeddingDimension", 384),
    call(1, "deleteMemory", ids[0]),
    call(1, "searchMemories", { ...query, embedding: vectorsOf(384)[3], match_threshold: 0.7 }),
    call(1, "deleteAllMemories", OTHER_R, "lengths"),
    call(1, "countMemories", OTHER_R, false, "lengths"),
  ];
}

/** Vectors without a direction. */
function zeroVectors(): Call[] {
  const base = { entityId: E, roomId: R };
  const [vector, near] = vectorsOf(384);
  const zeros = Array.from({ length: 384 }, () => 0);
  const [zero, later] = dice.uuids(2);
  const memory = { ...base, content: {}, unique: true };
  return [
    call(0, "ensureEmbeddingDimension", 384),
    call(0, "createMemory", { ...base, id: zero, content: {}, embedding: zeros }, "later"),
    call(0, "getMemoryById", zero),
    call(
      0,
      "createMemory",
      { ...base, id: later, content: { example: EXAMPLES.likeZero }, embedding: vector },
      "later",
    ),
    call(0, "getMemoryById", later),
    call(0, "createMemory", { ...memory, embedding: zeros }, "zeros"),
    call(0, "createMemory", { ...memory, embedding: vector }, "zeros"),
    call(0, "searchMemories", { tableName: "zeros", embedding: near }),
    call(0, "searchMemories", { tableName: "zeros", embedding: near, match_threshold: 0.9 }),
    call(0, "searchMemories", { tableName: "zeros", embedding: zeros }),
  ];
}

/** Vectors of other lengths than the active one, and with more digits than plugin-sql keeps. */
function otherVectors(): Call[] {
  const base = { entityId: E, roomId: R, content: { example: EXAMPLES.length } };
  const [vector, , , far] = vectorsOf(384);
  const [one, two, three] = vectorsOf(512);
  const infinite = vector?.map((value, at) => (at === 5 ? Number.POSITIVE_INFINITY : value));
  const [kept, lost, digits] = dice.uuids(3);
  const digitsMemory = { ...base, content: { example: EXAMPLES.digits }, embedding: far?.map((value) => value / 3) };
  return [
    call(0, "createMemory", { ...base, content: {}, embedding: vector }, "lengths"),
    // Where plugin-sql searches for one like it, it does not come to store the memory.
    call(0, "createMemory", { ...base, id: kept, embedding: one, unique: true }, "lengths"),
    call(0, "getMemoryById", kept),
    call(0, "createMemory", { ...base, id: lost, embedding: two }, "lengths"),
    call(0, "getMemoryById", lost),
    call(0, "updateMemory", { id: kept, content: { example: EXAMPLES.length }, embedding: three }),
    call(0, "searchMemories", { tableName: "lengths", embedding: one, match_threshold: 0.95 }),
    call(0, "createMemory", { ...base, content: { example: EXAMPLES.infinite }, embedding: infinite }, "infinite"),
    call(0, "searchMemories", { tableName: "infinite", embedding: vector }),
    call(0, "createMemory", { ...digitsMemory, id: digits }, "digits"),
    call(0, "getMemoryById", digits),
    // A length that plugin-sql has no column for.
    call(2, "ensureEmbeddingDimension", 100),
    call(2, "getMemories", { tableName: "digits" }),
    call(2, "searchMemories", { tableName: "digits", embedding: Array.from({ length: 100 }, (_, at) => at) }),
    call(2, "ensureEmbeddingDimension", 384),
  ];
}

function uniqueness(): Call[] {
  const base = { entityId: E, roomId: R, worldId: W };
  const [vector, near, , far] = vectorsOf(384);
  const ids = dice.uuids(5);
  const memories = [
    { ...base, embedding: vector },
    { ...base, embedding: near },
    { ...base, embedding: far },
    { ...base, worldId: undefined, embedding: vector },
    { ...base, entityId: OTHER_E, embedding: vector },
  ];
  // Its agent has no other; that of the adapter does.
  const forAnother = { ...base, id: dice.uuid(), agentId: B, content: { example: EXAMPLES.forAnother } };
  return [
    ...memories.map((memory, at) => call(0, "createMemory", { id: ids[at], content: { at }, ...memory }, "unique")),
    ...ids.map((id) => call(0, "getMemoryById", id)),
    call(0, "getMemories", { tableName: "unique", unique: true, agentId: A }),
    call(0, "countMemories", R, undefined, "unique"),
    call(0, "createMemory", { ...forAnother, embedding: vector }, "unique"),
    call(0, "getMemoryById", forAnother.id),
  ];
}

/** Documents with their fragments, of which the adapter's agent has not all. */
function documents(): Call[] {
  const ids = dice.uuids(9);
  const [one, two, three] = ids as [string, string, string];
  const base = { entityId: E, roomId: R, content: {} };
  const fragmentOf = (documentId: string, at: number, agentId: string): Call => {
    const metadata = { type: "fragment", documentId, position: at };
    return call(
      0,
      "createMemory",
      { ...base, id: ids[at], agentId, metadata, embedding: vectorsOf(384)[at] },
      "fragments",
    );
  };
  const document = (id: string) =>
    call(0, "createMemory", { ...base, id, metadata: { type: "document", timestamp: 5 } }, "documents");
  const left = [call(0, "getMemoriesByIds", ids), call(0, "countMemories", R, false, "fragments")];
  return [
    ...[one, two, three].map(document),
    ...[one, two, three].flatMap((id, at) => [fragmentOf(id, 3 + 2 * at, A), fragmentOf(id, 4 + 2 * at, B)]),
    ...left,
    call(0, "deleteMemory", one),
    ...left,
    call(0, "deleteManyMemories", [two, NOBODY]),
    ...left,
    call(0, "deleteAllMemories", R, "documents"),
    ...left,
  ];
}

/** The table of memories with vectors of two agents, and of two lengths. */
export const CACHED_TABLE = "cached";

function cachedEmbeddings(): Call[] {
  const base = { entityId: E, roomId: R };
  const long = "long ".repeat(60);
  const both = dice.uuid();
  const [one, , , far] = vectorsOf(384);
  const create = (agent: number, text: string, embedding?: readonly number[], id = dice.uuid()) =>
    call(agent, "createMemory", { ...base, id, content: { text }, embedding }, CACHED_TABLE);
  const query = { query_table_name: CACHED_TABLE, query_field_name: "content", query_field_sub_name: "text" };
  const ask = (agent: number, text: string, threshold: number, count = 5) =>
    call(agent, "getCachedEmbeddings", {
      ...{ ...query, query_input: text, query_threshold: threshold, query_match_count: count },
    });
  return [
    create(0, "hello", one, both),
    create(0, "hullo!", far),
    create(0, "hello without a vector"),
    create(0, "w😀rld", one),
    ask(0, "hello", 2),
    ask(0, "hello", 1),
    ask(0, "wörld", 1),
    ask(0, "x", 100, 1),
    ask(0, long, 2),
    create(1, "hallo", far),
    ask(0, "hello", 2),
    call(0, "ensureEmbeddingDimension", 512),
    call(0, "updateMemory", { id: both, embedding: vectorsOf(512)[0] }),
    ask(0, "hello", 0),
    call(0, "ensureEmbeddingDimension", 384),
  ];
}
