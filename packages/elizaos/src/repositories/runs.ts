import { invalidArgument, type Where } from "@waymark/core/records";
import { checkObject, checkTime, optionalUuid } from "../checks.ts";
import type { RunQuery, RunStatus, RunSummaries, RunSummary, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { fromJson } from "../json.ts";
import { NEWEST_FIRST } from "../orders.ts";
import { LOGS, type LogRow } from "../tables.ts";

/** Runs of an agent: what its logs say of each. */

const OPERATION = "get run summaries";

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

/** Events that are looked at: for each run that is wanted, and at least. */
const EVENTS_OF_A_RUN = 20;
const MIN_EVENTS = 200;

/** Logs of runs, without bodies, that one statement reads. */
const ROWS_AT_ONCE = 2_000;

const ENDS: readonly unknown[] = ["completed", "timeout", "error"] satisfies RunStatus[];

const EVENT_COLUMNS = ["id", "run", "status", "room", "entity", "createdAt"] as const;

type EventRow = Pick<LogRow, (typeof EVENT_COLUMNS)[number]>;

/** A run, with its events; the newest first. */
/** Bodies, which may be large, that one statement reads. */
const BODIES_AT_ONCE = 200;

interface Run {
  readonly summary: RunSummary;
  readonly events: EventRow[];
}

type Counts = NonNullable<RunSummary["counts"]>;

/** Returns the newest runs of this agent, among those that its newest events tell of. */
export async function getAgentRunSummaries(database: Database, query: RunQuery): Promise<RunSummaries> {
  const { status, limit: given } = checkObject("params", query);
  if (given !== undefined && !Number.isFinite(given)) throw invalidArgument("limit", "a number", given);
  const limit = Math.trunc(Math.min(Math.max(given ?? DEFAULT_LIMIT, 1), MAX_LIMIT));
  const events = await eventsOf(database, filterOf(database, query), Math.max(limit * EVENTS_OF_A_RUN, MIN_EVENTS));
  const all = runsOf(events).filter(({ summary }) => !status || status === "all" || summary.status === status);
  all.sort((one, other) => (other.summary.startedAt ?? 0) - (one.summary.startedAt ?? 0));
  const runs = all.slice(0, limit);
  await addBodies(database, runs);
  await addCounts(database, runs);
  return { runs: runs.map(({ summary }) => summary), total: all.length, hasMore: all.length > limit };
}

function filterOf(database: Database, { roomId, entityId, from, to }: RunQuery): Where<typeof LOGS> {
  const [room, entity] = [optionalUuid("roomId", roomId), optionalUuid("entityId", entityId)];
  const createdAt = {
    ...(typeof from === "number" && { from: checkTime("from", from) }),
    ...(typeof to === "number" && { to: checkTime("to", to) }),
  };
  return {
    agent: database.agentId,
    type: "run_event",
    run: { above: "" },
    ...(room !== null && { room }),
    ...(entity !== null && { entity }),
    ...(Object.keys(createdAt).length > 0 && { createdAt }),
  };
}

async function eventsOf(database: Database, where: Where<typeof LOGS>, limit: number): Promise<EventRow[]> {
  return await database.run(OPERATION, (records, signal) =>
    records.find(LOGS, { where, columns: EVENT_COLUMNS, order: NEWEST_FIRST, limit }, signal),
  );
}

/** Groups events, the newest first, by their runs. A run has ended at the first end that it has. */
function runsOf(events: readonly EventRow[]): Run[] {
  const runs = new Map<string, Run>();
  for (const event of events) {
    const runId = event.run as string;
    const run = runs.get(runId) ?? { summary: newSummary(runId, event), events: [] };
    runs.set(runId, run);
    run.events.push(event);
    const { summary } = run;
    if (event.status === "started") {
      summary.startedAt = event.createdAt; // events come the newest first
    } else if (ENDS.includes(event.status)) {
      summary.status = event.status as RunStatus;
      summary.endedAt = event.createdAt;
    }
  }
  for (const { summary } of runs.values()) {
    const { startedAt, endedAt } = summary;
    if (startedAt !== null && endedAt !== null) summary.durationMs = Math.max(endedAt - startedAt, 0);
  }
  return [...runs.values()];
}

function newSummary(runId: string, { room, entity }: EventRow): RunSummary {
  return {
    runId,
    status: "started",
    startedAt: null,
    endedAt: null,
    durationMs: null,
    roomId: room as UUID,
    entityId: entity as UUID,
    metadata: {},
  };
}

/** Adds what the bodies of events say alone: the message and the metadata, of the newest event that has them. */
async function addBodies(database: Database, runs: readonly Run[]): Promise<void> {
  const ids = runs.flatMap(({ events }) => events.map(({ id }) => id));
  const bodies = new Map<string, string>();
  for (let at = 0; at < ids.length; at += BODIES_AT_ONCE) {
    const some = ids.slice(at, at + BODIES_AT_ONCE);
    const query = { where: { id: { in: some } }, columns: ["id", "body"], limit: some.length } as const;
    const rows = await database.run(OPERATION, (records, signal) => records.find(LOGS, query, signal));
    for (const { id, body } of rows) bodies.set(id, body);
  }
  for (const { summary, events } of runs) {
    for (const { id } of events) addBody(summary, bodies.get(id));
  }
}

function addBody(summary: RunSummary, text: string | undefined): void {
  const body = text === undefined ? null : fromJson<Readonly<Record<string, unknown>>>(text);
  const messageId = body?.["messageId"];
  const metadata = body?.["metadata"];
  if (summary.messageId === undefined && typeof messageId === "string" && messageId !== "") {
    summary.messageId = messageId as UUID;
  }
  if (Object.keys(summary.metadata ?? {}).length === 0 && typeof metadata === "object" && metadata !== null) {
    summary.metadata = { ...metadata };
  }
}

/** Adds how many actions, calls of models, errors and evaluators the logs of each run tell of. */
async function addCounts(database: Database, runs: readonly Run[]): Promise<void> {
  const counts = new Map<string, Counts>();
  for (const { summary } of runs) {
    summary.counts = { actions: 0, modelCalls: 0, errors: 0, evaluators: 0 };
    counts.set(summary.runId, summary.counts);
  }
  const columns = ["id", "run", "type", "status", "failed", "prompts"] as const;
  const query = {
    where: { run: { in: [...counts.keys()] } },
    columns,
    order: [["id", "asc"]],
    limit: ROWS_AT_ONCE,
  } as const;
  for (let after: readonly unknown[] | null = null; counts.size > 0; ) {
    const place: { after?: readonly unknown[] } = after === null ? {} : { after };
    const rows = await database.run(OPERATION, (records, signal) => records.find(LOGS, { ...query, ...place }, signal));
    for (const row of rows) count(counts.get(row.run as string), row);
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_AT_ONCE) return;
    after = [last.id];
  }
}

function count(counts: Counts | undefined, log: Pick<LogRow, "type" | "status" | "failed" | "prompts">): void {
  if (counts === undefined) return;
  const { type, status, failed, prompts } = log;
  if (type === "action") {
    counts.actions += 1;
    counts.errors += failed;
    counts.modelCalls += prompts;
  } else if (type === "evaluator") counts.evaluators += 1;
  else if (type.startsWith("useModel:")) counts.modelCalls += 1;
  else if (type === "embedding_event" && status === "failed") counts.errors += 1;
}
