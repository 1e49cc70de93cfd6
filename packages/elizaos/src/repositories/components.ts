import { CheckpointError, removeRecords, updateRecords } from "@waymark/core/records";
import { checkObject, checkString, checkUuid, givenMembers, ifGiven, optionalUuid } from "../checks.ts";
import type { Component, Metadata, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { fromJson, textOfJson, textToJson, toJson } from "../json.ts";
import { BY_AGE } from "../orders.ts";
import { ALL } from "../pages.ts";
import { COMPONENTS, type ComponentRow } from "../tables.ts";
import { applySteps, insertNew } from "../writes.ts";

/** What a component names. */
const NAMED = "entity, agent, room, world or source entity";

/** Components of entities, those of all agents. */
export class Components {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns the oldest of an entity's components of a type. */
  async getComponent(entityId: UUID, type: string, worldId?: UUID, sourceEntityId?: UUID): Promise<Component | null> {
    const where = {
      ...filterOf(entityId, worldId, sourceEntityId),
      type: textToJson(checkString("type", type)),
    };
    const [row] = await this.#database.run("get component", (records, signal) =>
      records.find(COMPONENTS, { where, order: BY_AGE, limit: 1 }, signal),
    );
    return row === undefined ? null : componentOf(row);
  }

  async getComponents(entityId: UUID, worldId?: UUID, sourceEntityId?: UUID): Promise<Component[]> {
    const where = filterOf(entityId, worldId, sourceEntityId);
    const rows = await this.#database.run("get components", (records, signal) =>
      records.find(COMPONENTS, { where, order: BY_AGE, limit: ALL }, signal),
    );
    return rows.map(componentOf);
  }

  /** @throws CheckpointError `CONFLICT` if there is a component with this id */
  async createComponent(component: Component): Promise<boolean> {
    const { id, entityId, agentId, roomId, worldId, sourceEntityId, type, data } = checkObject("component", component);
    const row: ComponentRow = {
      id: optionalUuid("component.id", id) ?? newId(),
      entity: checkUuid("component.entityId", entityId),
      agent: optionalUuid("component.agentId", agentId) ?? this.#database.agentId,
      room: checkUuid("component.roomId", roomId),
      world: optionalUuid("component.worldId", worldId),
      sourceEntity: optionalUuid("component.sourceEntityId", sourceEntityId),
      createdAt: Date.now(),
      type: textToJson(checkString("component.type", type)),
      data: toJson("component.data", data === undefined ? {} : data),
    };
    if (await insertNew(this.#database, "create component", COMPONENTS, row, NAMED)) return true;
    throw new CheckpointError("CONFLICT", "create component: there is another component with this id");
  }

  /** Sets the members that are given. */
  async updateComponent(component: Component): Promise<void> {
    const { id, entityId, agentId, roomId, worldId, sourceEntityId, type, data } = checkObject("component", component);
    const set = givenMembers({
      entity: ifGiven(entityId, (given) => checkUuid("component.entityId", given)),
      agent: ifGiven(agentId, (given) => checkUuid("component.agentId", given)),
      room: ifGiven(roomId, (given) => checkUuid("component.roomId", given)),
      world: ifGiven(worldId, (given) => optionalUuid("component.worldId", given)),
      sourceEntity: ifGiven(sourceEntityId, (given) => optionalUuid("component.sourceEntityId", given)),
      type: ifGiven(type, (given) => textToJson(checkString("component.type", given))),
      data: ifGiven(data, (given) => toJson("component.data", given)),
    });
    const where = { id: checkUuid("component.id", id) };
    if (Object.keys(set).length === 0) return;
    await applySteps(this.#database, "update component", [updateRecords(COMPONENTS, where, set)], NAMED);
  }

  async deleteComponent(componentId: UUID): Promise<void> {
    const where = { id: checkUuid("componentId", componentId) };
    await applySteps(this.#database, "delete component", [removeRecords(COMPONENTS, where)]);
  }
}

function filterOf(entityId: UUID, worldId: UUID | undefined, sourceEntityId: UUID | undefined) {
  const world = optionalUuid("worldId", worldId);
  const sourceEntity = optionalUuid("sourceEntityId", sourceEntityId);
  return {
    entity: checkUuid("entityId", entityId),
    ...(world !== null && { world }),
    ...(sourceEntity !== null && { sourceEntity }),
  };
}

/** A component as its own methods return it. */
function componentOf(row: ComponentRow): Component {
  const component = componentOfEntity(row);
  return {
    ...component,
    worldId: component.worldId ?? ("" as UUID),
    sourceEntityId: component.sourceEntityId ?? ("" as UUID),
    createdAt: row.createdAt,
  };
}

/** A component as entities have it: with the time as a Date, and `null` for ids that there are not. */
export function componentOfEntity(row: ComponentRow): EntityComponent {
  return {
    id: row.id as UUID,
    entityId: row.entity as UUID,
    agentId: row.agent as UUID,
    roomId: row.room as UUID,
    worldId: row.world as UUID | null,
    sourceEntityId: row.sourceEntity as UUID | null,
    type: textOfJson(row.type),
    data: fromJson<Metadata>(row.data),
    createdAt: new Date(row.createdAt),
  };
}

export type EntityComponent = Omit<Component, "worldId" | "sourceEntityId" | "createdAt"> & {
  worldId: UUID | null;
  sourceEntityId: UUID | null;
  createdAt: Date;
};
