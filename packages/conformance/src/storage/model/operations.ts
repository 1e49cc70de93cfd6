import fc from "fast-check";
import { anyState } from "../values.ts";

/**
 * An operation on a store, as data, so that fast-check can generate, print and shrink sequences of them. Numbers that choose
 * (`pick`, `agent`, `storage`) are taken modulo the number of choices.
 */
export type Operation =
  | StoreOperation
  /** Starts several stores without waiting in between. */
  | { readonly do: "store at once"; readonly stores: readonly StoreOperation[] }
  /** Starts several stores with the same `ifLatest`. */
  | { readonly do: "race"; readonly stores: readonly StoreOperation[] }
  /** Stores the id of an existing checkpoint again: with its content, or with another state. */
  | { readonly do: "store again"; readonly storage: number; readonly pick: number; readonly changed: boolean }
  /** Stores the id of a removed checkpoint again: with its content, or with another state. */
  | { readonly do: "store removed"; readonly storage: number; readonly pick: number; readonly changed: boolean }
  | { readonly do: "retrieve and overwrite"; readonly storage: number; readonly pick: number }
  | { readonly do: "retrieve removed"; readonly storage: number; readonly pick: number }
  | { readonly do: "retrieve latest"; readonly storage: number; readonly agent: number; readonly namespace: number }
  | { readonly do: "list"; readonly storage: number; readonly agent: number; readonly limit: number }
  /** Restores a checkpoint: with the right `ifLatest`, or without any. */
  | { readonly do: "restore"; readonly storage: number; readonly pick: number; readonly guarded: boolean }
  | { readonly do: "follow ancestors"; readonly storage: number; readonly pick: number }
  | { readonly do: "delete"; readonly storage: number; readonly pick: number }
  | { readonly do: "delete agent"; readonly storage: number; readonly agent: number; readonly namespace: number | null }
  | ({ readonly do: "prune"; readonly storage: number; readonly agent: number } & Policy)
  /** Starts all of these at once, on one agent. */
  | {
      readonly do: "everything at once";
      readonly agent: number;
      readonly keepLast: number;
      readonly stores: readonly StoreOperation[];
      readonly deletes: readonly number[];
      readonly reads: readonly number[];
    }
  | { readonly do: "reopen"; readonly storage: number };

export interface StoreOperation {
  readonly do: "store";
  readonly storage: number;
  readonly agent: number;
  readonly namespace: number;
  readonly edits: readonly Edit[];
  /** `true`: edits change the state object that was stored before; `false`: a copy that shares the unchanged parts. */
  readonly inPlace: boolean;
  readonly parent: "none" | "latest" | { readonly fork: number } | { readonly label: number };
  readonly ifLatest: "any" | "right" | "wrong";
  readonly pinned: boolean;
  /** Age in hours of an id that the caller brings; `null`: the library makes the id. */
  readonly hoursAgo: number | null;
}

export interface Policy {
  readonly namespace: number | null;
  readonly keepLast: number | null;
  readonly keepWithinHours: number | null;
  readonly keepEveryHours: readonly { readonly every: number; readonly for: number }[];
  readonly keepPinned: boolean;
  readonly batchSize: number;
  readonly dryRun: boolean;
}

/** An agent's change of its state between two checkpoints. */
export type Edit =
  | { readonly edit: "append"; readonly messages: number; readonly length: number; readonly seed: number }
  | { readonly edit: "rewrite"; readonly at: number; readonly seed: number }
  | { readonly edit: "shorten"; readonly keep: number }
  | { readonly edit: "count" }
  | { readonly edit: "write on"; readonly length: number; readonly seed: number }
  | { readonly edit: "touch"; readonly seed: number }
  | { readonly edit: "set"; readonly value: unknown }
  | { readonly edit: "reorder" }
  /** Stores this value instead of the state. */
  | { readonly edit: "replace"; readonly value: unknown };

const pick = fc.nat({ max: 30 });
const seed = fc.nat({ max: 1_000_000 });
const storage = fc.nat({ max: 4 });
// Mostly the same agent, so that its timeline grows.
const agent = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) });
const namespace = fc.nat({ max: 1 });

const edit: fc.Arbitrary<Edit> = fc.oneof(
  weighted(10, "append", { messages: fc.integer({ min: 1, max: 3 }), length: fc.constantFrom(20, 300, 1_700), seed }),
  weighted(3, "append", { messages: fc.integer({ min: 4, max: 12 }), length: fc.constantFrom(600, 2_500), seed }),
  weighted(1, "append", { messages: fc.constant(2), length: fc.integer({ min: 15_000, max: 40_000 }), seed }),
  weighted(3, "rewrite", { at: pick, seed }),
  weighted(1, "shorten", { keep: fc.nat({ max: 12 }) }),
  weighted(4, "count", {}),
  weighted(2, "write on", { length: fc.constantFrom(10, 900, 9_000), seed }),
  weighted(3, "touch", { seed }),
  weighted(2, "set", { value: anyState }),
  weighted(1, "reorder", {}),
  weighted(1, "replace", { value: anyState }),
);

function weighted<Name extends Edit["edit"], Members extends object>(
  weight: number,
  name: Name,
  members: { [Key in keyof Members]: fc.Arbitrary<Members[Key]> },
) {
  return { weight, arbitrary: fc.record({ edit: fc.constant(name), ...members }) as unknown as fc.Arbitrary<Edit> };
}

const store: fc.Arbitrary<StoreOperation> = fc.record({
  do: fc.constant("store" as const),
  storage,
  agent,
  namespace: fc.oneof({ weight: 7, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
  edits: fc.array(edit, { minLength: 0, maxLength: 3 }),
  inPlace: fc.boolean(),
  parent: fc.oneof(
    { weight: 5, arbitrary: fc.constant("latest" as const) },
    { weight: 2, arbitrary: fc.constant("none" as const) },
    { weight: 2, arbitrary: fc.record({ fork: pick }) },
    { weight: 1, arbitrary: fc.record({ label: pick }) },
  ),
  ifLatest: fc.oneof(
    { weight: 6, arbitrary: fc.constant("any" as const) },
    { weight: 2, arbitrary: fc.constant("right" as const) },
    { weight: 1, arbitrary: fc.constant("wrong" as const) },
  ),
  pinned: fc.boolean(),
  hoursAgo: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat({ max: 40 }) }),
});

const stores = fc.array(store, { minLength: 2, maxLength: 5 });

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 20, arbitrary: store },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("store at once" as const), stores }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("race" as const), stores }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("store again" as const), storage, pick, changed: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("store removed" as const), storage, pick, changed: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("retrieve and overwrite" as const), storage, pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("retrieve removed" as const), storage, pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("retrieve latest" as const), storage, agent, namespace }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("list" as const),
      storage,
      agent,
      limit: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("follow ancestors" as const), storage, pick }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("restore" as const), storage, pick, guarded: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("delete" as const), storage, pick }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("delete agent" as const),
      storage,
      agent: fc.nat({ max: 1 }),
      namespace: fc.option(namespace, { freq: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("prune" as const),
      storage,
      agent,
      namespace: fc.option(namespace, { freq: 2 }),
      keepLast: fc.option(fc.integer({ min: 1, max: 8 }), { freq: 4 }),
      keepWithinHours: fc.option(fc.integer({ min: 1, max: 30 }), { freq: 2 }),
      keepEveryHours: fc.array(
        fc.record({ every: fc.integer({ min: 1, max: 12 }), for: fc.integer({ min: 1, max: 50 }) }),
        { maxLength: 2 },
      ),
      keepPinned: fc.boolean(),
      batchSize: fc.integer({ min: 1, max: 6 }),
      dryRun: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("everything at once" as const),
      agent,
      keepLast: fc.integer({ min: 1, max: 6 }),
      stores,
      deletes: fc.array(pick, { maxLength: 3 }),
      reads: fc.array(pick, { maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const), storage }) },
);

/** Generates sequences of at most `maxLength` operations; most are shorter. */
export function sequences(maxLength: number): fc.Arbitrary<Operation[]> {
  return fc.array(operation, { minLength: 1, maxLength, size: "max" });
}
