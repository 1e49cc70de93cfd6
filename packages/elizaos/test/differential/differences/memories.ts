import { describeValue } from "../calls.ts";
import { EXAMPLES } from "../chosen/ids.ts";
import { CACHED_TABLE } from "../chosen/memories.ts";
import {
  areNearVectors,
  areSomeOf,
  type Difference,
  isEmptyList,
  isExample,
  isOfEntity,
  isSameBut,
  isSearch,
  isUniqueHere,
  optionsOf,
} from "./difference.ts";

/** Differences about memories and their vectors. */
export const OF_MEMORIES: readonly Difference[] = [
  {
    what: "`getMemories({ entityId })`",
    theirs: "returns memories of all entities",
    ours: "returns those of the entity",
    applies: (call, theirs, ours) => call.method === "getMemories" && isOfEntity(call, theirs, ours),
  },
  {
    what: "A memory with a vector of zeros, as providers return for an empty text",
    theirs: "is the first that every search finds, at any threshold",
    ours: "is stored, and never found",
    applies: (call, theirs, ours) =>
      isSearch(call) && isSameBut(call, theirs, ours, ({ similarity }) => Number.isNaN(similarity)),
  },
  {
    what: "A memory that is stored after one with a vector of zeros in its room",
    theirs: "is not unique",
    ours: "is unique, unless there is one like it",
    applies: (_, theirs, ours) => isExample(ours, EXAMPLES.likeZero) && isUniqueHere(theirs, ours),
  },
  {
    what: "A vector with a number that is not finite",
    theirs: "has 0 there, and is found",
    ours: "has 0 there, and is never found",
    applies: (call, theirs, ours) =>
      isSearch(call) &&
      optionsOf(call)["tableName"] === "infinite" &&
      isEmptyList(ours.value) &&
      !isEmptyList(theirs.value),
  },
  {
    what: "Search after `ensureEmbeddingDimension` was called with another length",
    theirs: "memories with a vector of another length alone come first, without a similarity",
    ours: "finds memories with a vector of its length",
    applies: (call, theirs, ours) =>
      isSearch(call) && isSameBut(call, theirs, ours, ({ similarity }) => similarity === null),
  },
  {
    what: "A vector of another length than the active one",
    theirs:
      "`createMemory` is rejected, and the memory lost or left without its vector; `updateMemory` returns `false`",
    ours: "is stored, and found by vectors of its length",
    applies: (call, theirs, ours) =>
      (describeValue(call.args).includes(EXAMPLES.length) && ours.error === null) ||
      (isExample(ours, EXAMPLES.length) && theirs.value === null) ||
      (isSearch(call) && ["lengths", "digits"].includes(String(optionsOf(call)["tableName"])) && theirs.error !== null),
  },
  {
    what: "`ensureEmbeddingDimension` with another length than 384, 512, 768, 1024, 1536, 3072",
    theirs: "resolves; `getMemories` and searches are rejected from then on, and vectors dropped",
    ours: "works, up to 4,096",
    applies: ({ method }, theirs, ours) =>
      method === "getMemories" && (theirs.error?.message.includes("undefined") ?? false) && Array.isArray(ours.value),
  },
  {
    what: "Numbers of a vector",
    theirs: "are rounded to six decimals",
    ours: "have seven digits, all that single precision has",
    applies: (_, theirs, ours) => isExample(ours, EXAMPLES.digits) && areNearVectors(theirs.value, ours.value),
  },
  {
    what: "A fragment whose `documentId` is in capitals, when the document is deleted",
    theirs: "stays",
    ours: "is deleted with it",
    applies: (_, theirs, ours) => isExample(theirs, EXAMPLES.fragment) && ours.value === null,
  },
  {
    what: "A memory that an adapter stores for another agent, with a vector",
    theirs: "is compared with memories of the adapter's agent: unique, or not",
    ours: "is compared with memories of its own agent",
    applies: (_, theirs, ours) => isExample(ours, EXAMPLES.forAnother) && isUniqueHere(theirs, ours),
  },
  {
    what: "`getCachedEmbeddings` with a text of more than 255 characters",
    theirs: "is rejected",
    ours: "works",
    applies: (call, theirs, ours) =>
      call.method === "getCachedEmbeddings" &&
      String(optionsOf(call)["query_input"]).length > 255 &&
      theirs.error !== null &&
      ours.error === null,
  },
  {
    what: "`getCachedEmbeddings`",
    theirs: "returns vectors of all agents' memories, the shortest that each has",
    ours: "returns vectors of this agent's memories, of the active length",
    applies: (call, theirs, ours) =>
      call.method === "getCachedEmbeddings" &&
      optionsOf(call)["query_table_name"] === CACHED_TABLE &&
      areSomeOf(theirs.value, ours.value),
  },
];
