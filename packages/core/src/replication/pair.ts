import { type Engine, isReplicable, type ReplicableEngine } from "../checkpoints/engine.ts";
import { engineOf, mainEngineOf, markMainEngine } from "../checkpoints/storage.ts";
import type { CheckpointStorage } from "../contract/checkpoints.ts";
import { CheckpointError, codeOf, factsOf, invalidArgument } from "../contract/errors.ts";
import type { Source, StorageEvents } from "../contract/status.ts";
import { Emitter } from "../database/events.ts";
import { recordReplicated } from "../database/telemetry.ts";
import { FailoverState } from "./failover-state.ts";
import type { ResolvedReplicationOptions } from "./options.ts";
import { OutboxRelay } from "./outbox-relay.ts";

/** Time for rows to gather before they are delivered to the backup together, where no caller waits for that. */
const LINGER_MS = 50;

const ONE_DATABASE = "a storage of one database: of a factory, or a provider of openCheckpointStorage";

/**
 * Main and backup: two engines, a relay each way, and the failover state. Reads, stores and removals of `read.ts`,
 * `store.ts` and `remove.ts` work on it.
 *
 * A checkpoint is the same in both databases: its id is made before anything is sent. So what either has acknowledged is
 * kept, and what one lacks the other delivers: until then a row is pending where it is.
 */
export interface Pair {
  readonly main: ReplicableEngine;
  readonly backup: ReplicableEngine;
  readonly options: ResolvedReplicationOptions;
  readonly events: Emitter<StorageEvents>;
  readonly toBackup: OutboxRelay;
  readonly toMain: OutboxRelay;
  readonly failover: FailoverState;
}

/** @throws CheckpointError `INVALID_ARGUMENT` if the storages cannot be main and backup of each other */
export function createPair(
  main: CheckpointStorage,
  backup: CheckpointStorage,
  options: ResolvedReplicationOptions,
): Pair {
  if (engineOf(main) !== null && engineOf(main) === engineOf(backup)) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected main and backup to be two storages, got one twice");
  }
  const engines = { main: replicableEngine("main", main), backup: replicableEngine("backup", backup) };
  engines.main.labels.join(engines.backup.labels);
  const lingerMs = options.replication === "required" ? 0 : LINGER_MS;
  const events = new Emitter<StorageEvents>();
  const toBackup = new OutboxRelay({ from: engines.main, to: engines.backup, target: "backup", lingerMs });
  const toMain = new OutboxRelay({ from: engines.backup, to: engines.main, target: "main", lingerMs: 0 });
  const failover = new FailoverState({ ...engines, toBackup, toMain, replication: options, events });
  reportRelay(toBackup, { from: "main", to: "backup" }, events);
  reportRelay(toMain, { from: "backup", to: "main" }, events);
  return { ...engines, options, events, toBackup, toMain, failover };
}

function replicableEngine(name: Source, storage: CheckpointStorage): ReplicableEngine {
  const engine = engineOf(storage);
  if (engine === null) throw invalidArgument(name, ONE_DATABASE, storage);
  if (!isReplicable(engine)) {
    const lacking = engine.dialect.outbox === undefined ? "outbox" : "settings";
    const message = `expected ${name} to be a storage whose dialect has an outbox and settings, got the dialect ${engine.dialect.name}, which has no ${lacking}`;
    throw new CheckpointError("INVALID_ARGUMENT", message);
  }
  engine.session.provider = name;
  engine.role = name;
  return engine;
}

/** Names a provider in its events and telemetry. A storage that is not of `createStorage` names itself. */
export function nameProvider(storage: CheckpointStorage, name: string): void {
  const engine: Engine | null = engineOf(storage);
  if (engine !== null) engine.session.provider = name;
}

/** Makes a storage around another one have its main engine, for what works on the database of main. */
export function shareMain(around: CheckpointStorage, storage: CheckpointStorage): void {
  markMainEngine(around, mainEngineOf(storage));
}

/** Passes the events of a relay on, and records them. */
function reportRelay(
  relay: OutboxRelay,
  way: { readonly from: Source; readonly to: Source },
  events: Emitter<StorageEvents>,
): void {
  relay.events.on("delivered", ({ rows, bytes }) => {
    recordReplicated(way.from, way.to, rows, bytes);
    events.emit("replicated", { ...way, rows, bytes });
  });
  relay.events.on("failed", ({ side, code }) => {
    events.emit("replicationFailed", { ...way, provider: way[side], code });
  });
  relay.events.on("conflict", ({ id }) => events.emit("conflict", { id }));
}

/** Returns whether main has failed so that the backup may answer: it is unreachable, or locked out though it was open before. */
export function isMainUnreachable({ main }: Pair, error: unknown): boolean {
  const failover = factsOf(error)?.failover;
  return failover === "unreachable" || (failover === "locked-out" && main.session.wasOpened);
}

/** Makes the error for a call that both databases failed. */
export function bothFailed(operation: string, main: CheckpointError, backup: unknown): CheckpointError {
  if (backup instanceof CheckpointError && factsOf(backup)?.blame === "call") return backup;
  const codes = `main ${main.code}, backup ${codeOf(backup)}`;
  const cause = new AggregateError([main, backup], `${operation}: ${codes}`);
  return new CheckpointError("UNAVAILABLE", `${operation}: both providers failed: ${codes}`, { cause });
}

/** Makes a signal that aborts with the caller's, and at a deadline; default: that of a call. */
export function withinDeadline(
  { main }: Pair,
  signal: AbortSignal | undefined,
  timeoutMs: number = main.session.timeoutMs,
): AbortSignal {
  const deadline = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
}
