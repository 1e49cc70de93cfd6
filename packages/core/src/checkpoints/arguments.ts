import { encodeLabels, encodeMetadata } from "../codec/metadata.ts";
import type {
  AgentsQuery,
  CheckpointWrite,
  DeleteAgentQuery,
  DeleteAgentsQuery,
  DeleteAgentsResult,
  IndexLabelsOptions,
  IndexLabelsResult,
  LatestQuery,
  ListQuery,
  NamedAgentCheckpoint,
  PrunePolicy,
  ReadOptions,
  RestoreOptions,
  StoreOptions,
} from "../contract/checkpoints.ts";
import {
  boolean,
  checkText,
  type Given,
  integer,
  type ObjectWithKeys,
  objectWithKeys,
  oneOf,
  refuseUndefined,
} from "../contract/checks.ts";
import { CheckpointError, invalidArgument } from "../contract/errors.ts";
import type { StorageEvents } from "../contract/status.ts";
import {
  type CheckedProgressOptions,
  checkLookup,
  MAX_DATE_MS,
  ownId,
  progressOptions,
  signalOf,
} from "../database/arguments.ts";
import type { RowQuery } from "./dialect.ts";
import { labelTerm, nameLine, nameTerm } from "./terms.ts";

/**
 * Checks of the arguments of all methods, once, before anything else happens. What passes has ids that are UUIDv7 in lower
 * case, well-formed text, and no unknown keys.
 */

export const MAX_AGENT_ID_BYTES = 255;
export const MAX_NAMESPACE_BYTES = 1_024;
export const MAX_NAME_BYTES = 16 * 1_024;
export const MAX_LIMIT = 10_000;
/** The most writes that one call appends. */
export const MAX_WRITES = 10_000;
const MAX_TASK_ID_BYTES = 255;
const MAX_CHANNEL_BYTES = 1_024;
const DEFAULT_LIMIT = 1_000;
const DEFAULT_BATCH_SIZE = 500;

/** A checkpoint without its state, checked. */
export interface CheckedCheckpoint {
  readonly id: string | null;
  readonly agentId: string;
  readonly namespace: string;
  readonly name: string;
  readonly parentId: string | null;
  readonly createdAt: number;
  readonly metadata: string | null;
}

const CHECKPOINT_KEYS = ["agentId", "name", "state", "createdAt", "namespace", "parentId", "metadata", "id"] as const;

export function checkCheckpoint(value: NamedAgentCheckpoint, field = "checkpoint"): CheckedCheckpoint {
  const checkpoint = objectWithKeys(field, value, CHECKPOINT_KEYS);
  if (!("state" in value)) throw invalidArgument(`${field}.state`, "present (undefined is a state too)", undefined);
  return {
    id: checkpoint.id === undefined ? null : ownId(`${field}.id`, checkpoint.id),
    agentId: checkAgentId(`${field}.agentId`, checkpoint.agentId),
    namespace: checkpoint.namespace === undefined ? "" : checkNamespace(`${field}.namespace`, checkpoint.namespace),
    name: checkName(`${field}.name`, checkpoint.name),
    parentId: checkpoint.parentId === undefined ? null : ownId(`${field}.parentId`, checkpoint.parentId),
    createdAt: integer(`${field}.createdAt`, checkpoint.createdAt, -MAX_DATE_MS, MAX_DATE_MS, "in milliseconds"),
    metadata: checkpoint.metadata === undefined ? null : encodeMetadata(`${field}.metadata`, checkpoint.metadata),
  };
}

/** `ifLatest` and `signal` as given, checked; absent members stay absent. */
export type CheckedStoreOptions = { readonly ifLatest?: string | null; readonly signal?: AbortSignal };

export function checkStoreOptions(value: StoreOptions): CheckedStoreOptions {
  return storeOptions(objectWithKeys("options", value, ["ifLatest", "signal"]));
}

/** `agentId`: `null` where any agent's checkpoint may be restored. */
export function checkRestoreOptions(value: RestoreOptions): CheckedStoreOptions & { readonly agentId: string | null } {
  const options = objectWithKeys("options", value, ["agentId", "ifLatest", "signal"]);
  refuseUndefined("options", options, ["agentId"]);
  const { agentId } = options;
  return { agentId: agentId === undefined ? null : checkAgentId("options.agentId", agentId), ...storeOptions(options) };
}

function storeOptions(options: ObjectWithKeys<"ifLatest" | "signal">): CheckedStoreOptions {
  checkIfLatestIsGiven(options);
  const { ifLatest } = options;
  return {
    ...signalOf("options", options.signal),
    ...(ifLatest === undefined ? {} : { ifLatest: ifLatest === null ? null : ownId("options.ifLatest", ifLatest) }),
  };
}

/** Refuses `ifLatest: latest?.id` where there is no latest yet: it would store without the guard. */
export function checkIfLatestIsGiven(options: ObjectWithKeys<"ifLatest">): void {
  refuseUndefined(
    "options",
    options,
    ["ifLatest"],
    "an id, or null if there is no checkpoint yet (latest?.id ?? null)",
  );
}

/** A write without its value, checked. */
export type CheckedWrite = Given<Omit<CheckpointWrite, "value">>;

export function checkWrites(value: readonly CheckpointWrite[]): CheckedWrite[] {
  if (!Array.isArray(value)) throw invalidArgument("writes", "an array", value);
  if (value.length > MAX_WRITES) throw invalidArgument("writes", `at most ${MAX_WRITES}`, value.length);
  return Array.from(value, (write: CheckpointWrite, at) => {
    const field = `writes[${at}]`;
    const { taskId, index, channel, taskPath } = objectWithKeys(field, write, WRITE_KEYS);
    if (!("value" in write)) throw invalidArgument(`${field}.value`, "present (undefined is a value too)", undefined);
    return {
      taskId: checkTaskId(`${field}.taskId`, taskId),
      index: integer(`${field}.index`, index, -(2 ** 31), 2 ** 31 - 1, "writes of a task"),
      channel: checkChannel(`${field}.channel`, channel),
      taskPath: taskPath === undefined ? "" : checkTaskPath(`${field}.taskPath`, taskPath),
    };
  });
}

const WRITE_KEYS = ["taskId", "index", "channel", "value", "taskPath"] as const;

export function checkReadOptions(value: ReadOptions): CheckedRead {
  return readOptions("options", objectWithKeys("options", value, ["signal", "allowStale"]));
}

/** Options of all reads. */
export interface CheckedRead {
  readonly signal?: AbortSignal;
  readonly allowStale?: boolean;
}

function readOptions(field: string, { signal, allowStale }: ObjectWithKeys<"signal" | "allowStale">): CheckedRead {
  return {
    ...signalOf(field, signal),
    ...(allowStale === undefined ? {} : { allowStale: boolean(`${field}.allowStale`, allowStale) }),
  };
}

/** Members that narrow a query. All but `agentId` need it; the name and labels do without it, if they are indexed. */
const FILTERS = ["agentId", "namespace", "name", "parentId", "metadata"] as const;
const QUERY_KEYS = [...FILTERS, "before", "since", "limit", "signal", "allowStale"] as const;

/** A line of a row to look up across agents, and its term. */
export interface TermLine {
  readonly term: string;
  /** Encoded, with a line break before and after it. */
  readonly line: string;
}

/** A look-up across agents, by the first of these lines whose term is indexed. */
export interface LookUp {
  readonly lines: readonly TermLine[];
  /** Set where the answer may lack what is not indexed yet. */
  readonly isStaleAllowed: boolean;
}

/** A filter of rows, by the index of labels if it has a look-up. */
export interface ListedQuery extends RowQuery {
  readonly lookUp?: LookUp;
}

/** A checked query. `rowQuery`: `null` where no row can match. */
export interface CheckedListQuery extends CheckedRead {
  readonly rowQuery: ListedQuery | null;
  readonly limit: number | undefined;
}

export function checkListQuery(value: ListQuery): CheckedListQuery {
  const query = objectWithKeys("query", value, QUERY_KEYS);
  refuseUndefined("query", query, FILTERS);
  for (const field of FILTERS) {
    const isAcrossAgents = query.agentId === undefined && query[field] !== undefined;
    if (isAcrossAgents && field !== "metadata" && field !== "name") {
      throw invalidArgument("query.agentId", `present beside query.${field}`, undefined);
    }
  }
  const limit =
    query.limit === undefined ? undefined : integer("query.limit", query.limit, 1, MAX_LIMIT, "checkpoints");
  const parentId = query.parentId === undefined ? undefined : checkLookup("query.parentId", query.parentId);
  const read = readOptions("query", query);
  const lookUp = query.agentId === undefined ? lookUpAcrossAgents(query, read) : null;
  const rowQuery: Omit<ListedQuery, "parentId"> = {
    ...(lookUp === null ? {} : { lookUp }),
    ...(query.agentId === undefined ? {} : { agentId: checkAgentId("query.agentId", query.agentId) }),
    ...(query.namespace === undefined ? {} : { namespace: checkNamespace("query.namespace", query.namespace) }),
    ...(query.name === undefined ? {} : { name: checkName("query.name", query.name) }),
    ...(query.metadata === undefined ? {} : { labels: encodeLabels("query.metadata", query.metadata) }),
    ...(query.before === undefined ? {} : { before: ownId("query.before", query.before) }),
    ...(query.since === undefined ? {} : { since: ownId("query.since", query.since) }),
    limit: limit ?? DEFAULT_LIMIT,
  };
  const checked = parentId === null ? null : { ...rowQuery, ...(parentId === undefined ? {} : { parentId }) };
  return { rowQuery: checked, limit, ...read };
}

/** Looks up the name if there is one, and then labels only filter. */
function lookUpAcrossAgents(query: ObjectWithKeys<"name" | "metadata">, read: CheckedRead): LookUp | null {
  if (query.name !== undefined) {
    const name = checkName("query.name", query.name);
    return lookUpOf([{ term: nameTerm(name), line: nameLine(name) }], read);
  }
  return query.metadata === undefined ? null : lookUpOf(checkLabels("query.metadata", query.metadata), read);
}

function lookUpOf(lines: readonly TermLine[], { allowStale = false }: CheckedRead): LookUp {
  return { lines, isStaleAllowed: allowStale };
}

/** Checks labels to look up across agents, one at least; `only`: exactly one. */
function checkLabels(field: string, value: unknown, only = false): TermLine[] {
  const lines = encodeLabels(field, value);
  const labels = Object.keys(value as object).map((label, at) => ({
    term: labelTerm(label),
    line: lines[at] as string,
  }));
  if (labels.length === 0 || (only && labels.length > 1)) {
    throw invalidArgument(
      field,
      only ? "exactly one label" : "at least one label without query.agentId",
      labels.length,
    );
  }
  return labels;
}

export function checkLatestQuery(value: LatestQuery): CheckedRead & { readonly namespace: string } {
  const query = objectWithKeys("query", value, ["namespace", "signal", "allowStale"]);
  const { namespace = "" } = query;
  return { namespace: checkNamespace("query.namespace", namespace), ...readOptions("query", query) };
}

export function checkDeleteAgentQuery(value: DeleteAgentQuery): {
  readonly namespace: string | undefined;
  readonly signal?: AbortSignal;
} {
  const query = objectWithKeys("query", value, ["namespace", "signal"]);
  refuseUndefined("query", query, ["namespace"]);
  const { namespace, signal } = query;
  return {
    namespace: namespace === undefined ? undefined : checkNamespace("query.namespace", namespace),
    ...signalOf("query", signal),
  };
}

export function checkAgentsQuery(
  value: AgentsQuery,
): CheckedRead & { readonly after: string | null; readonly limit: number; readonly lookUp: LookUp | null } {
  const query = objectWithKeys("query", value, ["metadata", "after", "limit", "signal", "allowStale"]);
  refuseUndefined("query", query, ["metadata"]);
  const read = readOptions("query", query);
  return {
    lookUp: query.metadata === undefined ? null : lookUpOf(checkLabels("query.metadata", query.metadata, true), read),
    after: query.after === undefined ? null : checkAgentId("query.after", query.after),
    limit: query.limit === undefined ? DEFAULT_LIMIT : integer("query.limit", query.limit, 1, MAX_LIMIT, "agents"),
    ...read,
  };
}

export function checkDeleteAgentsQuery(value: DeleteAgentsQuery): CheckedProgressOptions<DeleteAgentsResult> & {
  readonly lines: readonly TermLine[];
  readonly dryRun: boolean;
} {
  const query = objectWithKeys("query", value, ["metadata", "dryRun", "signal", "onProgress"]);
  refuseUndefined("query", query, ["metadata", "dryRun"]);
  const { metadata, dryRun = false, signal, onProgress } = query;
  return {
    lines: checkLabels("query.metadata", metadata, true),
    dryRun: boolean("query.dryRun", dryRun),
    ...progressOptions<DeleteAgentsResult>("query", signal, onProgress),
  };
}

export function checkIndexLabelsOptions(
  value: IndexLabelsOptions,
): CheckedProgressOptions<IndexLabelsResult> & { readonly all: boolean } {
  const { all = false, signal, onProgress } = objectWithKeys("options", value, ["all", "signal", "onProgress"]);
  return {
    all: boolean("options.all", all),
    ...progressOptions<IndexLabelsResult>("options", signal, onProgress),
  };
}

export function checkStatsQuery(
  value: { readonly agentId?: string } & ReadOptions,
): CheckedRead & { readonly agentId: string | null } {
  const query = objectWithKeys("query", value, ["agentId", "signal", "allowStale"]);
  refuseUndefined("query", query, ["agentId"]);
  return {
    agentId: query.agentId === undefined ? null : checkAgentId("query.agentId", query.agentId),
    ...readOptions("query", query),
  };
}

export interface CheckedPrunePolicy {
  readonly agentId: string | null;
  readonly namespace: string | null;
  readonly dropAgentsIdleForMs: number | null;
  /** Whether there is a rule about the checkpoints of agents that stay. */
  readonly hasKeepRule: boolean;
  readonly keepLast: number;
  readonly keepWithinMs: number;
  readonly keepEvery: readonly { readonly everyMs: number; readonly forMs: number }[];
  readonly keepLabels: readonly string[] | null;
  readonly dryRun: boolean;
  readonly batchSize: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: NonNullable<PrunePolicy["onProgress"]>;
}

/** Rules: each keeps checkpoints. */
export const PRUNE_RULES = ["keepLast", "keepWithinMs", "keepEvery", "keepMetadata"] as const;
/** Members without which more would be removed. */
const NARROWING = ["agentId", "namespace", ...PRUNE_RULES, "dryRun"] as const;
const POLICY_KEYS = [...NARROWING, "dropAgentsIdleForMs", "batchSize", "signal", "onProgress"] as const;

export function checkPrunePolicy(value: PrunePolicy, field = "policy"): CheckedPrunePolicy {
  const policy = objectWithKeys(field, value, POLICY_KEYS);
  refuseUndefined(field, policy, NARROWING);
  const { dropAgentsIdleForMs, keepLast, keepWithinMs, keepEvery, keepMetadata } = policy;
  const hasKeepRule = PRUNE_RULES.some((rule) => policy[rule] !== undefined);
  if (!hasKeepRule && dropAgentsIdleForMs === undefined) {
    const rules = "at least one of dropAgentsIdleForMs, keepLast, keepWithinMs, keepEvery and keepMetadata";
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have ${rules}, got none`);
  }
  if (policy.namespace !== undefined && policy.agentId === undefined) {
    throw invalidArgument(`${field}.agentId`, `present beside ${field}.namespace`, undefined);
  }
  if (policy.namespace !== undefined && dropAgentsIdleForMs !== undefined) {
    const expected = `absent beside ${field}.dropAgentsIdleForMs: an agent goes in all its namespaces`;
    throw invalidArgument(`${field}.namespace`, expected, policy.namespace);
  }
  const { dryRun = false, onProgress } = policy;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalidArgument(`${field}.onProgress`, "a function", onProgress);
  }
  if (keepEvery !== undefined && !(Array.isArray(keepEvery) && keepEvery.length > 0)) {
    throw invalidArgument(`${field}.keepEvery`, "an array of at least one { everyMs, forMs }", keepEvery);
  }
  return {
    agentId: policy.agentId === undefined ? null : checkAgentId(`${field}.agentId`, policy.agentId),
    namespace: policy.namespace === undefined ? null : checkNamespace(`${field}.namespace`, policy.namespace),
    dropAgentsIdleForMs:
      dropAgentsIdleForMs === undefined ? null : duration(`${field}.dropAgentsIdleForMs`, dropAgentsIdleForMs),
    hasKeepRule,
    keepLast:
      keepLast === undefined ? 0 : integer(`${field}.keepLast`, keepLast, 1, Number.MAX_SAFE_INTEGER, "checkpoints"),
    keepWithinMs: keepWithinMs === undefined ? 0 : duration(`${field}.keepWithinMs`, keepWithinMs),
    keepEvery: ((keepEvery as unknown[] | undefined) ?? []).map((rule, index) => {
      const entry = `${field}.keepEvery[${index}]`;
      const { everyMs, forMs } = objectWithKeys(entry, rule as Record<string, unknown>, ["everyMs", "forMs"]);
      return { everyMs: duration(`${entry}.everyMs`, everyMs), forMs: duration(`${entry}.forMs`, forMs) };
    }),
    keepLabels: keepMetadata === undefined ? null : encodeLabels(`${field}.keepMetadata`, keepMetadata),
    dryRun: boolean(`${field}.dryRun`, dryRun),
    batchSize:
      policy.batchSize === undefined
        ? DEFAULT_BATCH_SIZE
        : integer(`${field}.batchSize`, policy.batchSize, 1, MAX_LIMIT, "rows"),
    ...signalOf(field, policy.signal),
    ...(onProgress === undefined ? {} : { onProgress: onProgress as NonNullable<PrunePolicy["onProgress"]> }),
  };
}

export function checkAgentId(field: string, value: unknown): string {
  return checkText(field, value, 1, MAX_AGENT_ID_BYTES);
}

export function checkNamespace(field: string, value: unknown): string {
  return checkText(field, value, 0, MAX_NAMESPACE_BYTES);
}

export function checkTaskId(field: string, value: unknown): string {
  return checkText(field, value, 1, MAX_TASK_ID_BYTES);
}

export function checkChannel(field: string, value: unknown): string {
  return checkText(field, value, 1, MAX_CHANNEL_BYTES);
}

export function checkTaskPath(field: string, value: unknown): string {
  return checkText(field, value, 0, MAX_NAME_BYTES);
}

export function checkName(field: string, value: unknown): string {
  return checkText(field, value, 0, MAX_NAME_BYTES);
}

function duration(field: string, value: unknown): number {
  return integer(field, value, 1, MAX_DATE_MS, "milliseconds");
}

const EVENTS = [
  "retry",
  "circuit",
  "created",
  "mode",
  "failover",
  "replicated",
  "replicationFailed",
  "conflict",
  "reconciled",
  "labelsIndexed",
  "labelIndexingFailed",
  "pruned",
  "pruneFailed",
] as const satisfies readonly (keyof StorageEvents)[];

export function checkListener(event: unknown, listener: unknown): void {
  oneOf("event", event, EVENTS);
  if (typeof listener !== "function") throw invalidArgument("listener", "a function", listener);
}
