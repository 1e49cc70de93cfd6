import { insertRecords, oneOf, updateRecords } from "@waymark/core/records";
import { checkUuid, checkUuids } from "../checks.ts";
import type { Participant, ParticipantState, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { BY_AGE, compareAge } from "../orders.ts";
import { ALL, inPieces } from "../pages.ts";
import { PARTICIPANTS, type ParticipantRow, ROOMS } from "../tables.ts";
import { removeFound } from "../writes.ts";
import { readEntities } from "./entities.ts";

const STATES = ["FOLLOWED", "MUTED"] as const;

/** Participants: which entities are in which rooms. An entity is in a room once for each agent. */
export class Participants {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async getRoomsForParticipant(entityId: UUID): Promise<UUID[]> {
    return await this.#roomsOf([checkUuid("entityId", entityId)]);
  }

  async getRoomsForParticipants(userIds: readonly UUID[]): Promise<UUID[]> {
    return await this.#roomsOf(checkUuids("userIds", userIds));
  }

  /** Returns this agent's rooms that one of the entities is in. */
  async #roomsOf(entityIds: readonly UUID[]): Promise<UUID[]> {
    const agent = this.#database.agentId;
    return await this.#database.run("get rooms of participants", async (records, signal) => {
      const joined: string[] = [];
      for (const entities of inPieces(entityIds)) {
        const query = { where: { entity: { in: entities } }, columns: ["room"], limit: ALL } as const;
        for (const { room } of await records.find(PARTICIPANTS, query, signal)) joined.push(room);
      }
      const rooms: { readonly id: string; readonly createdAt: number }[] = [];
      for (const ids of inPieces(joined)) {
        const query = { where: { id: { in: ids }, agent }, columns: ["id", "createdAt"], limit: ids.length } as const;
        rooms.push(...(await records.find(ROOMS, query, signal)));
      }
      return rooms.sort(compareAge).map(({ id }) => id as UUID);
    });
  }

  async addParticipant(entityId: UUID, roomId: UUID): Promise<boolean> {
    return await this.addParticipantsRoom([entityId], roomId);
  }

  /** Adds entities to a room. Returns `false`, and adds none, if the room or one of the entities is not there. */
  async addParticipantsRoom(entityIds: readonly UUID[], roomId: UUID): Promise<boolean> {
    const room = checkUuid("roomId", roomId);
    const createdAt = Date.now();
    const rows = checkUuids("entityIds", entityIds).map(
      (entity): ParticipantRow => ({
        room,
        entity,
        agent: this.#database.agentId,
        id: newId(),
        createdAt,
        state: null,
      }),
    );
    if (rows.length === 0) return true;
    return await this.#database.run("add participants", async (records, signal) => {
      try {
        await records.change([insertRecords(PARTICIPANTS, rows, "ignore")], signal);
        return true;
      } catch (error) {
        if (this.#database.isForeignKey(error)) return false;
        throw error;
      }
    });
  }

  /** Removes an entity from a room, for all agents. Returns `false` if it is not in it. */
  async removeParticipant(entityId: UUID, roomId: UUID): Promise<boolean> {
    const where = { room: checkUuid("roomId", roomId), entity: checkUuid("entityId", entityId) };
    return await removeFound(this.#database, "remove participant", PARTICIPANTS, where);
  }

  async getParticipantsForEntity(entityId: UUID): Promise<Participant[]> {
    const id = checkUuid("entityId", entityId);
    return await this.#database.run("get participants", async (records, signal) => {
      const [entity] = await readEntities(records, [id], { withComponents: true }, signal);
      if (entity === undefined) return [];
      const query = { where: { entity: id }, columns: ["id"], order: BY_AGE, limit: ALL } as const;
      const rows = await records.find(PARTICIPANTS, query, signal);
      return rows.map((row) => ({ id: row.id as UUID, entity }));
    });
  }

  /** Returns the entities in a room, by when they joined it. */
  async getParticipantsForRoom(roomId: UUID): Promise<UUID[]> {
    const where = { room: checkUuid("roomId", roomId) };
    const rows = await this.#database.run("get participants", (records, signal) =>
      records.find(PARTICIPANTS, { where, columns: ["entity"], order: BY_AGE, limit: ALL }, signal),
    );
    return [...new Set(rows.map(({ entity }) => entity as UUID))];
  }

  async isRoomParticipant(roomId: UUID, entityId: UUID): Promise<boolean> {
    const where = { room: checkUuid("roomId", roomId), entity: checkUuid("entityId", entityId) };
    const count = await this.#database.run("find participant", (records, signal) =>
      records.count(PARTICIPANTS, where, signal),
    );
    return count > 0;
  }

  async getParticipantUserState(roomId: UUID, entityId: UUID): Promise<ParticipantState> {
    const where = this.#key(roomId, entityId);
    const [row] = await this.#database.run("get participant state", (records, signal) =>
      records.find(PARTICIPANTS, { where, columns: ["state"], limit: 1 }, signal),
    );
    return (row?.state ?? null) as ParticipantState;
  }

  async setParticipantUserState(roomId: UUID, entityId: UUID, state: ParticipantState): Promise<void> {
    const where = this.#key(roomId, entityId);
    const set = { state: state === null ? null : oneOf("state", state, STATES) };
    await this.#database.run("set participant state", (records, signal) =>
      records.change([updateRecords(PARTICIPANTS, where, set)], signal),
    );
  }

  #key(roomId: UUID, entityId: UUID): Pick<ParticipantRow, "room" | "entity" | "agent"> {
    return {
      room: checkUuid("roomId", roomId),
      entity: checkUuid("entityId", entityId),
      agent: this.#database.agentId,
    };
  }
}
