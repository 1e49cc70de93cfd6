import { insertRecords, integer, type Records, removeRecords, updateRecords } from "@waymark/core/records";
import {
  checkList,
  checkObject,
  checkString,
  checkUuid,
  checkUuids,
  givenMembers,
  ifGiven,
  optionalUuid,
} from "../checks.ts";
import { clearLarge } from "../clearing.ts";
import type { Component, Entity, Metadata, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { fromJson, toJson } from "../json.ts";
import { labelsOf } from "../labels.ts";
import { ANY_NAME, hasInName, isNamed, type NameTest, nameColumns, namesOf } from "../names.ts";
import { BY_AGE } from "../orders.ts";
import { ALL, inPieces } from "../pages.ts";
import { COMPONENTS, ENTITIES, type EntityRow, PARTICIPANTS } from "../tables.ts";
import { applySteps } from "../writes.ts";
import { componentOfEntity } from "./components.ts";

/** Entities that are read at once where names are searched. */
const PAGE = 1_000;

/** Entities: users, agents, and what else has a name. */
export class Entities {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns entities with their components, in the order of the ids. Those that are not there are left out. */
  async getEntitiesByIds(entityIds: readonly UUID[]): Promise<Entity[]> {
    const ids = checkUuids("entityIds", entityIds);
    return await this.#database.run("get entities", (records, signal) =>
      readEntities(records, ids, { withComponents: true }, signal),
    );
  }

  /** Returns the entities of this agent that are in a room, by when they joined it. */
  async getEntitiesForRoom(roomId: UUID, includeComponents?: boolean): Promise<Entity[]> {
    const where = { room: checkUuid("roomId", roomId) };
    const options = { agent: this.#database.agentId, withComponents: Boolean(includeComponents) };
    return await this.#database.run("get entities", async (records, signal) => {
      const query = { where, columns: ["entity"], order: BY_AGE, limit: ALL } as const;
      const rows = await records.find(PARTICIPANTS, query, signal);
      return await readEntities(
        records,
        rows.map(({ entity }) => entity as UUID),
        options,
        signal,
      );
    });
  }

  /** Creates entities. Those that are there already stay as they are. */
  async createEntities(entities: readonly Entity[]): Promise<boolean> {
    const createdAt = Date.now();
    const rows = checkList("entities", entities).map((entity, at): EntityRow => {
      const field = `entities[${at}]`;
      const { id, agentId, names, metadata } = checkObject(field, entity);
      return {
        id: checkUuid(`${field}.id`, id),
        agent: optionalUuid(`${field}.agentId`, agentId) ?? this.#database.agentId,
        createdAt,
        ...nameColumns(namesOf(names)),
        metadata: toJson(`${field}.metadata`, metadata || {}),
      };
    });
    if (rows.length === 0) return true;
    await applySteps(this.#database, "create entities", [insertRecords(ENTITIES, rows, "ignore")], "agent");
    return true;
  }

  /** Replaces the names and the metadata of an entity: without them it has none. */
  async updateEntity(entity: Entity): Promise<void> {
    const { id, agentId, names, metadata } = checkObject("entity", entity);
    const set = givenMembers({
      agent: ifGiven(agentId, (given) => checkUuid("entity.agentId", given)),
      ...nameColumns(namesOf(names)),
      metadata: toJson("entity.metadata", metadata || {}),
    });
    const where = { id: checkUuid("entity.id", id) };
    await applySteps(this.#database, "update entity", [updateRecords(ENTITIES, where, set)], "agent");
  }

  /** Deletes an entity with all that is its. */
  async deleteEntity(entityId: UUID): Promise<void> {
    const id = checkUuid("entityId", entityId);
    await clearLarge(this.#database, "delete entity", { entity: id });
    await applySteps(this.#database, "delete entity", [removeRecords(ENTITIES, { id })]);
  }

  /** Returns the entities of an agent that have one of these names. */
  async getEntitiesByNames(params: { names: readonly string[]; agentId: UUID }): Promise<Entity[]> {
    const { names, agentId } = checkObject("params", params);
    const wanted = checkList("names", names).map((name, at) => checkString(`names[${at}]`, name));
    if (wanted.length === 0) return [];
    return await this.#search("get entities by names", agentId, isNamed(wanted), ALL);
  }

  /** Returns the entities of an agent that have a name with this text in it, in capitals or not; all of them for no text. */
  async searchEntitiesByName(params: { query: string; agentId: UUID; limit?: number }): Promise<Entity[]> {
    const { query, agentId, limit } = checkObject("params", params);
    const text = checkString("query", query ?? "");
    const test = text.trim() === "" ? ANY_NAME : hasInName(text);
    const most = integer("limit", limit ?? 10, 0, ALL, "entities");
    return await this.#search("search entities", agentId, test, most);
  }

  async #search(operation: string, agentId: UUID, { where, test }: NameTest, limit: number): Promise<Entity[]> {
    const agent = optionalUuid("agentId", agentId) ?? this.#database.agentId;
    const found: Entity[] = [];
    let page = Math.min(PAGE, limit);
    let after: readonly unknown[] | null = null;
    while (found.length < limit) {
      const query = { where: { agent, ...where }, order: BY_AGE, ...(after !== null && { after }), limit: page };
      const rows: EntityRow[] = await this.#database.run(operation, (records, signal) =>
        records.find(ENTITIES, query, signal),
      );
      found.push(...rows.map(namedOf).filter(({ names }) => test(names)));
      const last = rows.at(-1);
      if (last === undefined || rows.length < page) break;
      after = [last.createdAt, last.id];
      page = PAGE;
    }
    return found.slice(0, limit);
  }
}

/** Reads entities in the order of their ids, once each. `agent`: only its own. */
export async function readEntities(
  records: Records,
  entityIds: readonly UUID[],
  { agent, withComponents }: { readonly agent?: UUID; readonly withComponents: boolean },
  signal: AbortSignal,
): Promise<Entity[]> {
  const entities = new Map<string, Entity>();
  for (const ids of inPieces(entityIds)) {
    const where = { id: { in: ids }, ...(agent !== undefined && { agent }) };
    for (const row of await records.find(ENTITIES, { where, limit: ids.length }, signal)) {
      entities.set(row.id, entityOf(row, withComponents ? [] : undefined));
    }
    if (!withComponents) continue;
    const query = { where: { entity: { in: ids } }, order: BY_AGE, limit: ALL } as const;
    for (const row of await records.find(COMPONENTS, query, signal)) {
      entities.get(row.entity)?.components?.push(componentOfEntity(row) as unknown as Component);
    }
  }
  return [...new Set(entityIds)].flatMap((id) => entities.get(id) ?? []);
}

/** An entity without its time and components, as searches return it. */
function namedOf(row: EntityRow): Entity {
  return {
    id: row.id as UUID,
    agentId: row.agent as UUID,
    names: labelsOf(row.names),
    metadata: fromJson<Metadata>(row.metadata),
  };
}

function entityOf(row: EntityRow, components: Component[] | undefined): Entity {
  const { id, agentId, names, metadata } = namedOf(row);
  return { id, agentId, createdAt: new Date(row.createdAt), names, metadata, components } as Entity;
}
