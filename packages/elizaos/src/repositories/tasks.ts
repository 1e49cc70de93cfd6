import { CheckpointError, checkText, removeRecords, updateRecords } from "@waymark/core/records";
import { checkLabels, checkObject, checkUuid, givenMembers, ifGiven, optionalUuid } from "../checks.ts";
import type { Metadata, Task, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { fromJson, optionalText, textOfJson, toJson } from "../json.ts";
import { labelLine, labelsOf, labelsText } from "../labels.ts";
import { BY_AGE } from "../orders.ts";
import { ALL } from "../pages.ts";
import { TASKS, type TaskRow } from "../tables.ts";
import { applySteps, insertNew } from "../writes.ts";

/**
 * Tasks of this agent. Their times are not returned: ElizaOS' task service takes `updatedAt` for that of the last run, which it keeps in
 * the metadata, and would run repeating tasks late. An `entityId` is not stored, and filters nothing.
 */
export class Tasks {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws CheckpointError `CONFLICT` if there is a task with this id */
  async createTask(task: Task): Promise<UUID> {
    const { id: given, name, description, roomId, worldId, tags, metadata } = checkObject("task", task);
    const id = optionalUuid("task.id", given) ?? newId();
    const now = Date.now();
    const row: TaskRow = {
      id,
      agent: this.#database.agentId,
      room: optionalUuid("task.roomId", roomId),
      world: checkUuid("task.worldId", worldId),
      name: checkName("task.name", name),
      createdAt: now,
      updatedAt: now,
      description: optionalText("task.description", description),
      tags: labelsText(checkLabels("task.tags", tags)),
      metadata: toJson("task.metadata", metadata || {}),
    };
    if (await insertNew(this.#database, "create task", TASKS, row, "agent")) return id;
    throw new CheckpointError("CONFLICT", "create task: there is another task with this id");
  }

  /** Returns the tasks that have all of the tags. */
  async getTasks(params: { roomId?: UUID; tags?: readonly string[]; entityId?: UUID }): Promise<Task[]> {
    const { roomId, tags } = checkObject("params", params);
    const room = optionalUuid("roomId", roomId);
    const lines = checkLabels("tags", tags).map(labelLine);
    return await this.#find("get tasks", {
      ...(room !== null && { room }),
      ...(lines.length > 0 && { tags: { contains: lines } }),
    });
  }

  async getTasksByName(name: string): Promise<Task[]> {
    return await this.#find("get tasks by name", { name: checkName("name", name) });
  }

  async getTask(id: UUID): Promise<Task | null> {
    const [task] = await this.#find("get task", { id: checkUuid("id", id) });
    return task ?? null;
  }

  async #find(operation: string, where: object): Promise<Task[]> {
    const query = { where: { agent: this.#database.agentId, ...where }, order: BY_AGE, limit: ALL };
    const rows = await this.#database.run(operation, (records, signal) => records.find(TASKS, query, signal));
    return rows.map(taskOf);
  }

  /** Sets the members that are given. */
  async updateTask(id: UUID, task: Partial<Task>): Promise<void> {
    const { name, description, roomId, worldId, tags, metadata } = checkObject("task", task);
    const set = givenMembers({
      name: ifGiven(name, (given) => checkName("task.name", given)),
      description: ifGiven(description, (given) => optionalText("task.description", given)),
      room: ifGiven(roomId, (given) => optionalUuid("task.roomId", given)),
      world: ifGiven(worldId, (given) => optionalUuid("task.worldId", given)),
      tags: ifGiven(tags, (given) => labelsText(checkLabels("task.tags", given))),
      metadata: ifGiven(metadata, (given) => toJson("task.metadata", given || {})),
      updatedAt: Date.now(),
    });
    await applySteps(this.#database, "update task", [updateRecords(TASKS, this.#key(id), set)]);
  }

  async deleteTask(id: UUID): Promise<void> {
    await applySteps(this.#database, "delete task", [removeRecords(TASKS, this.#key(id))]);
  }

  #key(id: UUID): Pick<TaskRow, "id" | "agent"> {
    return { id: checkUuid("id", id), agent: this.#database.agentId };
  }
}

function checkName(field: string, value: unknown): string {
  return checkText(field, value, 1, TASKS.columns.name.maxBytes);
}

function taskOf(row: TaskRow): Task {
  return {
    id: row.id as UUID,
    name: row.name,
    description: row.description === null ? "" : textOfJson(row.description),
    roomId: row.room as UUID, // `null` where there is none, as ElizaOS' own adapter
    worldId: row.world as UUID,
    tags: labelsOf(row.tags),
    metadata: fromJson<Metadata>(row.metadata),
  };
}
