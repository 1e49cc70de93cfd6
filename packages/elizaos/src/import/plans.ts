import { CheckpointError, type TableDefinition } from "@waymark/core/records";
import {
  AGENTS,
  CACHE,
  COMPONENTS,
  ENTITIES,
  LOGS,
  MEMORIES,
  PARTICIPANTS,
  RELATIONSHIPS,
  ROOMS,
  TASKS,
  WORLDS,
} from "../tables.ts";
import {
  agentRow,
  cacheRow,
  componentRow,
  entityRow,
  logRow,
  memoryRows,
  participantRow,
  relationshipRow,
  roomRow,
  taskRow,
  worldRow,
} from "./rows.ts";
import type { Source } from "./source.ts";
import type { SourceRow, SourceTable } from "./source-tables.ts";
import type { Item, Row, Target } from "./target.ts";

/** What is read of each table of the source, and what becomes of it. */

/** Rows of the source that cannot be kept. */
export interface Refused {
  readonly key: string;
  readonly read: number;
  readonly embeddings: number;
  readonly reason: string;
}

/** The tables, but that of embeddings, which come with their memories. */
export type PlannedTable = Exclude<SourceTable, "embeddings">;

export interface Plan {
  readonly name: PlannedTable;
  readonly table: TableDefinition;
  /** Reads the table in pages. */
  items(source: Source, target: Target, size: number): AsyncGenerator<(Item | Refused)[]>;
}

/** Rows of logs that are read at once: the table has no index, so every page reads all of it. */
const LOGS_AT_ONCE = 5_000;

/** All plans: rows come after those that they name. */
export const PLANS: readonly Plan[] = [
  planOf("agents", AGENTS, agentRow),
  planOf("entities", ENTITIES, entityRow),
  planOf("worlds", WORLDS, worldRow),
  {
    name: "rooms",
    table: ROOMS,
    async *items(source, target, size) {
      const onlyAgent = await target.onlyAgent();
      for await (const page of source.pages("rooms", ["id"], size)) {
        const ofWorlds = await target.agentsOf(WORLDS, page.map(worldOfAgentless));
        yield page.map((room) =>
          itemOf(room.id, () => {
            const agent = room.agentId ?? ofWorlds.get(room.worldId ?? "") ?? onlyAgent;
            return [roomRow(room, known(agent, "its agent"))];
          }),
        );
      }
    },
  },
  planOf("components", COMPONENTS, componentRow),
  {
    name: "memories",
    table: MEMORIES,
    async *items(source, _target, size) {
      for await (const page of source.pages("memories", ["id"], size)) {
        const ids = page.map(({ id }) => id);
        const embeddings = groupBy(await source.embeddings(ids), ({ memoryId }) => memoryId);
        yield page.map((memory) => {
          const own = embeddings.get(memory.id) ?? [];
          return itemOf(memory.id, () => memoryRows(memory, own), 1, own.length);
        });
      }
    },
  },
  {
    name: "participants",
    table: PARTICIPANTS,
    items: participants,
  },
  planOf("relationships", RELATIONSHIPS, relationshipRow),
  planOf("tasks", TASKS, taskRow),
  {
    name: "cache",
    table: CACHE,
    async *items(source, _target, size) {
      for await (const page of source.pages("cache", ["agentId", "key"], size)) {
        yield page.map((row) => itemOf(`${row.agentId} ${row.key}`, () => [cacheRow(row)]));
      }
    },
  },
  {
    name: "logs",
    table: LOGS,
    async *items(source, target, size) {
      for await (const page of source.pages("logs", ["id"], LOGS_AT_ONCE)) {
        for (let at = 0; at < page.length; at += size) {
          const some = page.slice(at, at + size);
          const agents = await target.agentsOf(
            ROOMS,
            some.map(({ roomId }) => roomId),
          );
          yield some.map((row) => itemOf(row.id, () => [logRow(row, known(agents.get(row.roomId), "its room"))]));
        }
      }
    },
  },
];

/** A plan for a table whose rows are converted one by one. */
function planOf<Name extends PlannedTable>(
  name: Name,
  table: TableDefinition,
  convert: (row: SourceRow<Name>) => Row,
): Plan {
  return {
    name,
    table,
    async *items(source, _target, size) {
      for await (const page of source.pages(name, ["id" as never], size)) {
        yield page.map((row) => itemOf((row as { readonly id: string }).id, () => [convert(row)]));
      }
    },
  };
}

/** Reads participants in the order of what they are, so that rows of the same one follow each other: plugin-sql may have several. */
async function* participants(source: Source, target: Target, size: number): ReturnType<Plan["items"]> {
  const columns = ["roomId", "entityId"] as const;
  for (const id of await source.lacking("participants", columns)) {
    yield [{ key: id, read: 1, embeddings: 0, reason: "its room or its entity is not known" }];
  }
  let open: SourceRow<"participants">[] = [];
  for await (const page of source.pages("participants", [...columns, "id"], size)) {
    const last = page.at(-1) as SourceRow<"participants">;
    const rows = [...open, ...page];
    open = rows.filter((row) => columns.every((name) => row[name] === last[name]));
    yield await participantItems(target, rows.slice(0, rows.length - open.length));
  }
  yield await participantItems(target, open);
}

async function participantItems(
  target: Target,
  rows: readonly SourceRow<"participants">[],
): Promise<(Item | Refused)[]> {
  const agents = await target.agentsOf(
    ROOMS,
    rows.map(({ agentId, roomId }) => (agentId === null ? roomId : null)),
  );
  const agentOf = ({ agentId, roomId }: SourceRow<"participants">) => agentId ?? agents.get(roomId ?? "");
  const same = groupBy(rows, (row) => [row.roomId, row.entityId, agentOf(row)].join());
  return [...same.values()].map((group) => {
    const [first] = group as [SourceRow<"participants">];
    return itemOf(first.id, () => [participantRow(group, known(agentOf(first), "its room"))], group.length);
  });
}

function groupBy<Value, Key>(values: readonly Value[], keyOf: (value: Value) => Key): Map<Key, Value[]> {
  const groups = new Map<Key, Value[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}

function worldOfAgentless({ agentId, worldId }: SourceRow<"rooms">): string | null {
  return agentId === null ? worldId : null;
}

/** Converts a row, or says why that fails. */
function itemOf(key: string, convert: () => readonly Row[], read = 1, embeddings = 0): Item | Refused {
  try {
    return { key, rows: convert() as Item["rows"], read, embeddings };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return { key, read, embeddings, reason: error.message };
  }
}

function known(id: string | null | undefined, what: string): string {
  if (id === null || id === undefined) throw new CheckpointError("NOT_FOUND", `${what} is not known`);
  return id;
}
