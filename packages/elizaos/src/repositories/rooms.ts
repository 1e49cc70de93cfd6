import { insertRecords, removeKeys, removeRecords, updateRecords } from "@waymark/core/records";
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
import type { Metadata, Room, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { fromJson, optionalJson, optionalText, textOfJson, textToJson } from "../json.ts";
import { BY_AGE, compareAge } from "../orders.ts";
import { ALL, inPieces } from "../pages.ts";
import { ROOMS, type RoomRow } from "../tables.ts";
import { applySteps } from "../writes.ts";

/** Rooms of a world that are removed at once. */
const REMOVED_AT_ONCE = 500;

/** Rooms. A `serverId`, the old name of `messageServerId`, is returned, and not stored. */
export class Rooms {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns those of the rooms that are this agent's. */
  async getRoomsByIds(roomIds: readonly UUID[]): Promise<Room[]> {
    const pieces = inPieces(checkUuids("roomIds", roomIds));
    const agent = this.#database.agentId;
    const rows: RoomRow[] = [];
    for (const ids of pieces) {
      const query = { where: { id: { in: ids }, agent }, limit: ids.length };
      rows.push(...(await this.#database.run("get rooms", (records, signal) => records.find(ROOMS, query, signal))));
    }
    return rows.sort(compareAge).map(roomOf);
  }

  /** Returns the rooms of a world, whichever agent's they are. */
  async getRoomsByWorld(worldId: UUID): Promise<Room[]> {
    const where = { world: checkUuid("worldId", worldId) };
    const rows = await this.#database.run("get rooms", (records, signal) =>
      records.find(ROOMS, { where, order: BY_AGE, limit: ALL }, signal),
    );
    return rows.map((row) => ({ ...roomOf(row), createdAt: new Date(row.createdAt) }));
  }

  /** Returns the ids. Rooms that are there already stay as they are. */
  async createRooms(rooms: readonly Room[]): Promise<UUID[]> {
    const createdAt = Date.now();
    const rows = checkList("rooms", rooms).map((room, at): RoomRow & { readonly id: UUID } => {
      const field = `rooms[${at}]`;
      const { id, worldId, messageServerId, source, type, name, channelId, metadata } = checkObject(field, room);
      return {
        id: optionalUuid(`${field}.id`, id) ?? newId(),
        agent: this.#database.agentId,
        createdAt,
        world: optionalUuid(`${field}.worldId`, worldId),
        messageServer: optionalUuid(`${field}.messageServerId`, messageServerId),
        source: textToJson(checkString(`${field}.source`, source)),
        type: textToJson(checkString(`${field}.type`, type)),
        name: optionalText(`${field}.name`, name),
        channel: optionalText(`${field}.channelId`, channelId),
        metadata: optionalJson(`${field}.metadata`, metadata),
      };
    });
    if (rows.length === 0) return [];
    await applySteps(this.#database, "create rooms", [insertRecords(ROOMS, rows, "ignore")], "agent");
    return rows.map(({ id }) => id);
  }

  /** Sets the members that are given. The room is this agent's then. */
  async updateRoom(room: Room): Promise<void> {
    const { id, worldId, messageServerId, source, type, name, channelId, metadata } = checkObject("room", room);
    const set = givenMembers({
      agent: this.#database.agentId,
      world: ifGiven(worldId, (given) => optionalUuid("room.worldId", given)),
      messageServer: ifGiven(messageServerId, (given) => optionalUuid("room.messageServerId", given)),
      source: ifGiven(source, (given) => textToJson(checkString("room.source", given))),
      type: ifGiven(type, (given) => textToJson(checkString("room.type", given))),
      name: ifGiven(name, (given) => optionalText("room.name", given)),
      channel: ifGiven(channelId, (given) => optionalText("room.channelId", given)),
      metadata: ifGiven(metadata, (given) => optionalJson("room.metadata", given)),
    });
    const where = { id: checkUuid("room.id", id) };
    await applySteps(this.#database, "update room", [updateRecords(ROOMS, where, set)], "agent");
  }

  /** Deletes a room with all that is in it. */
  async deleteRoom(roomId: UUID): Promise<void> {
    const id = checkUuid("roomId", roomId);
    await clearLarge(this.#database, "delete room", { room: id });
    await applySteps(this.#database, "delete room", [removeRecords(ROOMS, { id })]);
  }

  /** Deletes this agent's rooms in a world with all that is in them. */
  async deleteRoomsByWorldId(worldId: UUID): Promise<void> {
    const where = { world: checkUuid("worldId", worldId), agent: this.#database.agentId };
    const query = { where, columns: ROOMS.key, limit: REMOVED_AT_ONCE };
    const operation = "delete rooms";
    for (;;) {
      const keys = await this.#database.run(operation, (records, signal) => records.find(ROOMS, query, signal));
      if (keys.length === 0) return;
      await clearLarge(this.#database, operation, { room: { in: keys.map(({ id }) => id as UUID) } });
      await applySteps(this.#database, operation, [removeKeys(ROOMS, keys)]);
    }
  }
}

function roomOf(row: RoomRow): Room {
  return {
    id: row.id,
    name: row.name === null ? undefined : textOfJson(row.name),
    channelId: row.channel === null ? null : textOfJson(row.channel),
    agentId: row.agent,
    messageServerId: row.messageServer,
    serverId: row.messageServer,
    worldId: row.world,
    type: textOfJson(row.type),
    source: textOfJson(row.source),
    metadata: row.metadata === null ? null : fromJson<Metadata>(row.metadata),
  } as unknown as Room; // as ElizaOS' own adapter, with `null` for what is not there
}
