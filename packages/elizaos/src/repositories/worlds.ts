import { insertRecords, removeRecords, updateRecords } from "@waymark/core/records";
import { checkObject, checkString, checkUuid, givenMembers, ifGiven, optionalUuid } from "../checks.ts";
import type { Metadata, UUID, World } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { fromJson, optionalJson, textOfJson, textToJson } from "../json.ts";
import { BY_AGE } from "../orders.ts";
import { ALL } from "../pages.ts";
import { WORLDS, type WorldRow } from "../tables.ts";
import { applySteps } from "../writes.ts";

/** Worlds: servers and the like. A `serverId`, the old name of `messageServerId`, is not stored. */
export class Worlds {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns the id. A world that is there already stays as it is. */
  async createWorld(world: World): Promise<UUID> {
    const { id: given, agentId, messageServerId, name, metadata } = checkObject("world", world);
    const id = optionalUuid("world.id", given) ?? newId();
    const row: WorldRow = {
      id,
      agent: optionalUuid("world.agentId", agentId) ?? this.#database.agentId,
      createdAt: Date.now(),
      messageServer: optionalUuid("world.messageServerId", messageServerId),
      name: textToJson(checkString("world.name", name ?? "")),
      metadata: optionalJson("world.metadata", metadata),
    };
    await applySteps(this.#database, "create world", [insertRecords(WORLDS, [row], "ignore")], "agent");
    return id;
  }

  async getWorld(id: UUID): Promise<World | null> {
    const where = { id: checkUuid("id", id) };
    const [row] = await this.#database.run("get world", (records, signal) =>
      records.find(WORLDS, { where, limit: 1 }, signal),
    );
    return row === undefined ? null : worldOf(row);
  }

  /** Returns the worlds of this agent. */
  async getAllWorlds(): Promise<World[]> {
    const where = { agent: this.#database.agentId };
    const rows = await this.#database.run("get worlds", (records, signal) =>
      records.find(WORLDS, { where, order: BY_AGE, limit: ALL }, signal),
    );
    return rows.map(worldOf);
  }

  /** Sets the members that are given. */
  async updateWorld(world: World): Promise<void> {
    const { id, agentId, messageServerId, name, metadata } = checkObject("world", world);
    const set = givenMembers({
      agent: ifGiven(agentId, (given) => checkUuid("world.agentId", given)),
      messageServer: ifGiven(messageServerId, (given) => optionalUuid("world.messageServerId", given)),
      name: ifGiven(name, (given) => textToJson(checkString("world.name", given))),
      metadata: ifGiven(metadata, (given) => optionalJson("world.metadata", given)),
    });
    const where = { id: checkUuid("world.id", id) };
    if (Object.keys(set).length === 0) return;
    await applySteps(this.#database, "update world", [updateRecords(WORLDS, where, set)], "agent");
  }

  /** Removes a world, and the components in it. Its rooms stay. */
  async removeWorld(id: UUID): Promise<void> {
    const where = { id: checkUuid("id", id) };
    await applySteps(this.#database, "remove world", [removeRecords(WORLDS, where)]);
  }
}

function worldOf(row: WorldRow): World {
  return {
    id: row.id,
    agentId: row.agent,
    name: textOfJson(row.name),
    metadata: row.metadata === null ? null : fromJson<Metadata>(row.metadata),
    messageServerId: row.messageServer,
    createdAt: new Date(row.createdAt),
  } as unknown as World; // as ElizaOS' own adapter, with `null` for what is not there
}
