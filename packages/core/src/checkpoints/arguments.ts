import type {
  AgentsQuery,
  CheckpointMetadata,
  CheckpointWrite,
  CloseOptions,
  LatestQuery,
  ListQuery,
  MetadataValue,
  NamedAgentCheckpoint,
  PrunePolicy,
  ReadOptions,
  ReconcileOptions,
  StoreOptions,
} from "../contract/checkpoints.ts";
import { boolean, integer, type Members, members, plainObject, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument } from "../contract/errors.ts";
import type { RowQuery } from "./dialect.ts";
import { hasPlausibleTime, parseId } from "./ids.ts";

/**
 * The door: every argument is checked here, once, by name, before anything else happens. Inside, ids are UUIDv7 in
 * lower case, text is well-formed, and no member is unknown.
 */

export const MAX_AGENT_ID_BYTES = 255;
export const MAX_NAMESPACE_BYTES = 1_024;
export const MAX_NAME_BYTES = 16 * 1_024;
export const MAX_METADATA_BYTES = 16 * 1_024;
export const MAX_LIMIT = 10_000;
const MAX_TASK_ID_BYTES = 255;
const MAX_CHANNEL_BYTES = 1_024;
const DEFAULT_LIMIT = 1_000;
const DEFAULT_BATCH_SIZE = 500;
/** The range of a JavaScript Date. */
const MAX_TIME_MS = 8_640_000_000_000_000;

/** A checkpoint's head, checked; the state is not looked at here. */
export interface CheckedCheckpoint {
  readonly id: string | null;
  readonly agentId: string;
  readonly namespace: string;
  readonly name: string;
  readonly parentId: string | null;
  readonly createdAt: number;
  readonly metadata: string | null;
}

const CHECKPOINT_MEMBERS = [
  "agentId",
  "name",
  "state",
  "createdAt",
  "namespace",
  "parentId",
  "metadata",
  "id",
] as const;

export function checkCheckpoint(value: NamedAgentCheckpoint): CheckedCheckpoint {
  const checkpoint = members("checkpoint", value, CHECKPOINT_MEMBERS);
  if (!("state" in value))
    throw invalidArgument("checkpoint.state", "given (undefined is a state too, if said)", undefined);
  return {
    id: checkpoint.id === undefined ? null : ownId("checkpoint.id", checkpoint.id),
    agentId: agentId("checkpoint.agentId", checkpoint.agentId),
    namespace: namespaceOf("checkpoint", checkpoint.namespace),
    name: name("checkpoint.name", checkpoint.name),
    parentId: checkpoint.parentId === undefined ? null : ownId("checkpoint.parentId", checkpoint.parentId),
    createdAt: integer("checkpoint.createdAt", checkpoint.createdAt, -MAX_TIME_MS, MAX_TIME_MS, "in milliseconds"),
    metadata: checkpoint.metadata === undefined ? null : encodeMetadata("checkpoint.metadata", checkpoint.metadata),
  };
}

export function checkStoreOptions(value: StoreOptions): { ifLatest?: string | null; signal?: AbortSignal } {
  const options = members("options", value, ["ifLatest", "signal"]);
  const { ifLatest } = options;
  return {
    ...signalOf("options", options.signal),
    ...(ifLatest === undefined ? {} : { ifLatest: ifLatest === null ? null : ownId("options.ifLatest", ifLatest) }),
  };
}

/** A write's head, checked; the value is not looked at here. */
export type CheckedWrite = Required<Omit<CheckpointWrite, "value">>;

export function checkWrites(value: readonly CheckpointWrite[]): CheckedWrite[] {
  if (!Array.isArray(value)) throw invalidArgument("writes", "an array", value);
  if (value.length > MAX_LIMIT) throw invalidArgument("writes", `at most ${MAX_LIMIT}`, value.length);
  return Array.from(value, (write: CheckpointWrite, at) => {
    const field = `writes[${at}]`;
    const { taskId, index, channel, taskPath } = members(field, write, WRITE_MEMBERS);
    if (!("value" in write)) throw invalidArgument(`${field}.value`, "given (undefined is a value too)", undefined);
    return {
      taskId: text(`${field}.taskId`, taskId, 1, MAX_TASK_ID_BYTES),
      index: integer(`${field}.index`, index, -(2 ** 31), 2 ** 31 - 1, "writes of a task"),
      channel: text(`${field}.channel`, channel, 1, MAX_CHANNEL_BYTES),
      taskPath: taskPath === undefined ? "" : text(`${field}.taskPath`, taskPath, 0, MAX_NAME_BYTES),
    };
  });
}

const WRITE_MEMBERS = ["taskId", "index", "channel", "value", "taskPath"] as const;

/** An id to look up: a string that is no id of ours is simply not there. */
export function checkLookup(field: string, value: unknown): string | null {
  return parseId(string(field, value));
}

export function checkCloseOptions(value: CloseOptions): { readonly timeoutMs: number } {
  const { timeoutMs = 10_000 } = members("options", value, ["timeoutMs"]);
  return { timeoutMs: integer("options.timeoutMs", timeoutMs, 0, 2_147_483_647, "milliseconds") };
}

export function checkReconcileOptions(value: ReconcileOptions): ReconcileOptions {
  const { signal, onProgress } = members("options", value, ["signal", "onProgress"]);
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalidArgument("options.onProgress", "a function", onProgress);
  }
  const progress = onProgress as ReconcileOptions["onProgress"];
  return { ...signalOf("options", signal), ...(progress === undefined ? {} : { onProgress: progress }) };
}

export function checkCallOptions(value: { signal?: AbortSignal }): { signal?: AbortSignal } {
  return signalOf("options", members("options", value, ["signal"]).signal);
}

export function checkReadOptions(value: ReadOptions): CheckedRead {
  return readOptions("options", members("options", value, ["signal", "allowStale"]));
}

/** What all reads may be told. */
export interface CheckedRead {
  readonly signal?: AbortSignal;
  readonly allowStale?: boolean;
}

function readOptions(field: string, { signal, allowStale }: Members<"signal" | "allowStale">): CheckedRead {
  return {
    ...signalOf(field, signal),
    ...(allowStale === undefined ? {} : { allowStale: boolean(`${field}.allowStale`, allowStale) }),
  };
}

export function checkAgentId(value: unknown): string {
  return agentId("agentId", value);
}

const QUERY_MEMBERS = [
  "agentId",
  "namespace",
  "name",
  "parentId",
  "metadata",
  "before",
  "since",
  "limit",
  "signal",
  "allowStale",
] as const;

/** A query's rows, or `null` where no row can match. */
export interface CheckedListQuery extends CheckedRead {
  readonly rows: RowQuery | null;
  readonly limit: number | undefined;
}

export function checkListQuery(value: ListQuery): CheckedListQuery {
  const query = members("query", value, QUERY_MEMBERS);
  for (const field of ["namespace", "name", "parentId", "metadata"] as const) {
    if (query[field] !== undefined && query.agentId === undefined) {
      throw invalidArgument("query.agentId", `given, since query.${field} filters within an agent`, undefined);
    }
  }
  const limit =
    query.limit === undefined ? undefined : integer("query.limit", query.limit, 1, MAX_LIMIT, "checkpoints");
  const parentId = query.parentId === undefined ? undefined : checkLookup("query.parentId", query.parentId);
  const rows: Omit<RowQuery, "parentId"> = {
    ...(query.agentId === undefined ? {} : { agentId: agentId("query.agentId", query.agentId) }),
    ...(query.namespace === undefined ? {} : { namespace: namespaceOf("query", query.namespace) }),
    ...(query.name === undefined ? {} : { name: name("query.name", query.name) }),
    ...(query.metadata === undefined ? {} : { metadataLines: metadataLines("query.metadata", query.metadata) }),
    ...(query.before === undefined ? {} : { before: ownId("query.before", query.before) }),
    ...(query.since === undefined ? {} : { since: ownId("query.since", query.since) }),
    limit: limit ?? DEFAULT_LIMIT,
  };
  const checked = parentId === null ? null : { ...rows, ...(parentId === undefined ? {} : { parentId }) };
  return { rows: checked, limit, ...readOptions("query", query) };
}

export function checkLatestQuery(value: LatestQuery): CheckedRead & { readonly namespace: string | undefined } {
  const query = members("query", value, ["namespace", "signal", "allowStale"]);
  const namespace = query.namespace === undefined ? undefined : namespaceOf("query", query.namespace);
  return { namespace, ...readOptions("query", query) };
}

export function checkAgentsQuery(
  value: AgentsQuery,
): CheckedRead & { readonly after: string | null; readonly limit: number } {
  const query = members("query", value, ["after", "limit", "signal", "allowStale"]);
  return {
    after: query.after === undefined ? null : agentId("query.after", query.after),
    limit: query.limit === undefined ? DEFAULT_LIMIT : integer("query.limit", query.limit, 1, MAX_LIMIT, "agents"),
    ...readOptions("query", query),
  };
}

export function checkStatsQuery(
  value: { readonly agentId?: string } & ReadOptions,
): CheckedRead & { readonly agentId: string | null } {
  const query = members("query", value, ["agentId", "signal", "allowStale"]);
  return {
    agentId: query.agentId === undefined ? null : agentId("query.agentId", query.agentId),
    ...readOptions("query", query),
  };
}

export interface CheckedPrunePolicy {
  readonly agentId: string | null;
  readonly namespace: string | null;
  readonly keepLast: number;
  readonly keepWithinMs: number;
  readonly keepEvery: readonly { readonly everyMs: number; readonly forMs: number }[];
  readonly keepMetadataLines: readonly string[] | null;
  readonly dryRun: boolean;
  readonly batchSize: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: NonNullable<PrunePolicy["onProgress"]>;
}

const POLICY_MEMBERS = [
  "agentId",
  "namespace",
  "keepLast",
  "keepWithinMs",
  "keepEvery",
  "keepMetadata",
  "dryRun",
  "batchSize",
  "signal",
  "onProgress",
] as const;

export function checkPrunePolicy(value: PrunePolicy): CheckedPrunePolicy {
  const policy = members("policy", value, POLICY_MEMBERS);
  const { keepLast, keepWithinMs, keepEvery, keepMetadata } = policy;
  if ([keepLast, keepWithinMs, keepEvery, keepMetadata].every((rule) => rule === undefined)) {
    const rules = "a policy with at least one of keepLast, keepWithinMs, keepEvery and keepMetadata";
    throw new CheckpointError("INVALID_ARGUMENT", `expected policy to be ${rules}, got one that keeps nothing`);
  }
  if (policy.namespace !== undefined && policy.agentId === undefined) {
    throw invalidArgument("policy.agentId", "given, since policy.namespace is one of an agent's", undefined);
  }
  const { dryRun = false, onProgress } = policy;
  if (typeof dryRun !== "boolean") throw invalidArgument("policy.dryRun", "a boolean", dryRun);
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalidArgument("policy.onProgress", "a function", onProgress);
  }
  if (keepEvery !== undefined && !(Array.isArray(keepEvery) && keepEvery.length > 0)) {
    throw invalidArgument("policy.keepEvery", "an array of at least one { everyMs, forMs }", keepEvery);
  }
  return {
    agentId: policy.agentId === undefined ? null : agentId("policy.agentId", policy.agentId),
    namespace: policy.namespace === undefined ? null : namespaceOf("policy", policy.namespace),
    keepLast: keepLast === undefined ? 0 : integer("policy.keepLast", keepLast, 1, MAX_TIME_MS, "checkpoints"),
    keepWithinMs: keepWithinMs === undefined ? 0 : duration("policy.keepWithinMs", keepWithinMs),
    keepEvery: ((keepEvery as unknown[] | undefined) ?? []).map((rule, index) => {
      const field = `policy.keepEvery[${index}]`;
      const { everyMs, forMs } = members(field, rule as Record<string, unknown>, ["everyMs", "forMs"]);
      return { everyMs: duration(`${field}.everyMs`, everyMs), forMs: duration(`${field}.forMs`, forMs) };
    }),
    keepMetadataLines: keepMetadata === undefined ? null : metadataLines("policy.keepMetadata", keepMetadata),
    dryRun,
    batchSize:
      policy.batchSize === undefined
        ? DEFAULT_BATCH_SIZE
        : integer("policy.batchSize", policy.batchSize, 1, MAX_LIMIT, "rows"),
    ...signalOf("policy", policy.signal),
    ...(onProgress === undefined ? {} : { onProgress: onProgress as NonNullable<PrunePolicy["onProgress"]> }),
  };
}

/**
 * Metadata as it is stored: one line a label, `"key":value` in JSON, with a line break before the first and after each.
 * JSON has no raw line breaks and writes NUL and lone surrogates as escapes, so a label is there if its line, with its
 * breaks, stands in the text, byte for byte, on every database alike.
 */
function encodeMetadata(field: string, value: unknown): string {
  const text = `\n${metadataLines(field, value)
    .map((line) => line.slice(1))
    .join("")}`;
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_METADATA_BYTES)
    throw invalidArgument(field, `at most ${MAX_METADATA_BYTES} bytes as JSON lines`, bytes);
  return text;
}

function metadataLines(field: string, value: unknown): string[] {
  const object = plainObject(field, value);
  const prototype: unknown = Object.getPrototypeOf(object);
  if (
    (prototype !== null && prototype !== Object.prototype) ||
    Reflect.ownKeys(object).length !== Object.keys(object).length
  ) {
    throw invalidArgument(field, "a plain object of strings, numbers, booleans and nulls", value);
  }
  return Object.keys(object).map((key) => `\n${JSON.stringify(key)}:${metadataValue(field, key, object[key])}\n`);
}

function metadataValue(field: string, key: string, value: unknown): string {
  if (typeof value === "number" && Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "string" || typeof value === "boolean" || value === null) return JSON.stringify(value);
  const shown = JSON.stringify(key.length <= 64 ? key : `${key.slice(0, 64)}…`);
  throw invalidArgument(`${field}[${shown}]`, "a string, a finite number, a boolean or null", value);
}

/** @throws SyntaxError for a text that `encodeMetadata` has not made */
export function decodeMetadata(text: string): CheckpointMetadata {
  const lines = text.split("\n").slice(1, -1);
  const metadata = JSON.parse(`{${lines.join(",")}}`) as Record<string, MetadataValue>;
  return metadata;
}

/** Text that every database keeps as it is: PostgreSQL takes no NUL, and drivers turn lone surrogates into U+FFFD. */
function text(field: string, value: unknown, minBytes: number, maxBytes: number): string {
  const checked = string(field, value);
  const bytes = Buffer.byteLength(checked);
  if (bytes < minBytes || bytes > maxBytes) {
    throw new CheckpointError(
      "INVALID_ARGUMENT",
      `expected ${field} to be ${minBytes} to ${maxBytes} bytes of UTF-8, got ${bytes}`,
    );
  }
  if (checked.includes("\0")) throw invalidArgument(field, "text without NUL characters", value);
  if (!checked.isWellFormed()) throw invalidArgument(field, "text without lone surrogates", value);
  return checked;
}

function agentId(field: string, value: unknown): string {
  return text(field, value, 1, MAX_AGENT_ID_BYTES);
}

function namespaceOf(field: string, value: unknown): string {
  return value === undefined ? "" : text(`${field}.namespace`, value, 0, MAX_NAMESPACE_BYTES);
}

function name(field: string, value: unknown): string {
  return text(field, value, 0, MAX_NAME_BYTES);
}

/** An id that must be one: a checkpoint's, a parent's, a cursor. */
function ownId(field: string, value: unknown): string {
  const id = parseId(string(field, value));
  if (id === null) throw invalidArgument(field, "a UUIDv7", value);
  if (!hasPlausibleTime(id)) throw invalidArgument(field, "a UUIDv7 of a time before the year 10000", value);
  return id;
}

function duration(field: string, value: unknown): number {
  return integer(field, value, 1, MAX_TIME_MS, "milliseconds");
}

function signalOf(field: string, value: unknown): { signal?: AbortSignal } {
  if (value === undefined) return {};
  if (!(value instanceof AbortSignal)) throw invalidArgument(`${field}.signal`, "an AbortSignal", value);
  return { signal: value };
}
