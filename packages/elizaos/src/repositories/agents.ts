import { invalidArgument } from "@waymark/core/records";
import { checkObject, checkString, checkUuid, optionalUuid } from "../checks.ts";
import { clearLarge } from "../clearing.ts";
import type { Agent, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newId } from "../ids.ts";
import { fromJson, toJson } from "../json.ts";
import { BY_AGE } from "../orders.ts";
import { ALL } from "../pages.ts";
import { copySettings, mergeSettings } from "../settings.ts";
import { AGENTS, type AgentRow } from "../tables.ts";
import { insertNew, removeFound } from "../writes.ts";

/** Members of an agent that are stored, settings aside: the value of one that is not given, and a check of one that is. */
const MEMBERS = {
  enabled: { otherwise: true, check: notNull },
  server_id: { otherwise: null, check: optionalUuid },
  name: { otherwise: "", check: checkString },
  username: { otherwise: null, check: stringOrNull },
  system: { otherwise: "", check: stringOrNull },
  bio: { otherwise: [], check: (_: string, value: unknown) => value },
  messageExamples: { otherwise: [], check: notNull },
  postExamples: { otherwise: [], check: notNull },
  topics: { otherwise: [], check: notNull },
  adjectives: { otherwise: [], check: notNull },
  knowledge: { otherwise: [], check: notNull },
  plugins: { otherwise: [], check: notNull },
  style: { otherwise: {}, check: notNull },
} as const;

type Members = Readonly<Record<string, unknown>>;

const DEFAULTS: Members = Object.fromEntries(Object.entries(MEMBERS).map(([name, { otherwise }]) => [name, otherwise]));

/** Time within which an agent that was not there may have been created by another process that starts it too. */
const JUST_BEFORE_MS = 60_000;

/** Agents: those of all adapters of a database. */
export class Agents {
  readonly #database: Database;
  /** The id under which {@link getAgent} has found none last, and when; `null`: it has found one since, or one was created. */
  #missed: { readonly id: string; readonly at: number } | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  async getAgent(agentId: UUID): Promise<Agent | null> {
    const id = checkUuid("agentId", agentId);
    const [row] = await this.#database.run("get agent", (records, signal) =>
      records.find(AGENTS, { where: { id }, limit: 1 }, signal),
    );
    this.#missed = row === undefined ? { id, at: performance.now() } : null;
    return row === undefined ? null : agentOf(row);
  }

  /** Returns the id, the name and the biography of each agent. */
  async getAgents(): Promise<Partial<Agent>[]> {
    const rows = await this.#database.run("get agents", (records, signal) =>
      records.find(AGENTS, { where: {}, columns: ["id", "data"], order: BY_AGE, limit: ALL }, signal),
    );
    return rows.map(({ id, data }) => {
      const { name, bio } = fromJson<Pick<Agent, "name" | "bio">>(data);
      return { id: id as UUID, name, bio: bio ?? "" };
    });
  }

  /**
   * Returns `false` if there is an agent with this id. If `getAgent` found none just before, another process was faster, which starts the same
   * agent: that is `true`, since ElizaOS ends one that cannot create its agent.
   */
  async createAgent(agent: Partial<Agent>): Promise<boolean> {
    const { id, name, settings, createdAt, updatedAt } = checkObject("agent", agent);
    checkString("agent.name", name);
    const now = Date.now();
    const row: AgentRow = {
      id: optionalUuid("agent.id", id) ?? newId(),
      createdAt: timeOf("agent.createdAt", createdAt, now),
      updatedAt: timeOf("agent.updatedAt", updatedAt, now),
      data: JSON.stringify({ ...DEFAULTS, ...copyMembers(agent) }),
      settings: settings === undefined ? "{}" : toJson("agent.settings", checkObject("agent.settings", settings)),
    };
    const isCreated = await insertNew(this.#database, "create agent", AGENTS, row, "agent");
    const missed = this.#missed;
    this.#missed = null;
    return isCreated || (missed?.id === row.id && performance.now() - missed.at < JUST_BEFORE_MS);
  }

  /** Sets the members that are given, and merges the settings. Of an unknown agent it changes nothing; `true` as well. */
  async updateAgent(agentId: UUID, agent: Partial<Agent>): Promise<boolean> {
    const id = checkUuid("agentId", agentId);
    const { settings, createdAt, updatedAt } = checkObject("agent", agent);
    const members = copyMembers(agent);
    const given = settings === undefined ? undefined : copySettings("agent.settings", settings);
    const times = {
      updatedAt: typeof updatedAt === "number" ? timeOf("agent.updatedAt", updatedAt, Date.now()) : Date.now(),
      ...(typeof createdAt === "number" && { createdAt: timeOf("agent.createdAt", createdAt, Date.now()) }),
    };
    await this.#database.run("update agent", (records, signal) =>
      records.modify(
        AGENTS,
        { id },
        (row) => ({
          ...times,
          data: JSON.stringify({ ...fromJson<Members>(row.data), ...members }),
          ...(given !== undefined && {
            settings: JSON.stringify(mergeSettings(fromJson(row.settings), given) ?? {}),
          }),
        }),
        signal,
      ),
    );
    return true;
  }

  /** Deletes an agent with all that is its. Returns `false` if there is none with this id. */
  async deleteAgent(agentId: UUID): Promise<boolean> {
    const id = checkUuid("agentId", agentId);
    await clearLarge(this.#database, "delete agent", { agent: id });
    return await removeFound(this.#database, "delete agent", AGENTS, { id });
  }

  async countAgents(): Promise<number> {
    return await this.#database.run("count agents", (records, signal) => records.count(AGENTS, {}, signal));
  }

  /** Deletes all agents, those of other adapters too. */
  async cleanupAgents(): Promise<void> {
    const rows = await this.#database.run("clean up agents", (records, signal) =>
      records.find(AGENTS, { where: {}, columns: ["id"], limit: ALL }, signal),
    );
    for (const { id } of rows) await this.deleteAgent(id as UUID);
  }
}

function agentOf({ id, createdAt, updatedAt, data, settings }: AgentRow): Agent {
  const members = fromJson<Members>(data);
  return {
    ...members,
    id,
    createdAt,
    updatedAt,
    username: members["username"] || "",
    system: members["system"] || undefined,
    bio: members["bio"] || "",
    settings: fromJson<Record<string, unknown>>(settings),
  } as Agent;
}

/** Checks the members that are given, and takes a copy of them. */
function copyMembers(agent: Members): Members {
  const given = Object.entries(MEMBERS).flatMap(([name, { check }]) => {
    const field = `agent.${name}`;
    return agent[name] === undefined ? [] : [[name, fromJson(toJson(field, check(field, agent[name])))]];
  });
  return Object.fromEntries(given) as Members;
}

function notNull(field: string, value: unknown): unknown {
  if (value === null) throw invalidArgument(field, "given, or left out", value);
  return value;
}

function stringOrNull(field: string, value: unknown): string | null {
  return value === null ? null : checkString(field, value);
}

/** Returns a time in milliseconds; `now` for none, or zero. */
function timeOf(field: string, value: unknown, now: number): number {
  const time = new Date((value || now) as number | string | Date).getTime();
  if (Number.isNaN(time)) throw invalidArgument(field, "a time in milliseconds", value);
  return time;
}
