import { randomUUID } from "node:crypto";
import type { RecordStore, TableDefinition, Where } from "@waymark/core/records";
import { afterAll, beforeAll, expect, onTestFinished, vi } from "vitest";
import { acquire, type SharedConnection } from "../../src/connections.ts";
import { type UUID, type WaymarkAdapter, type WaymarkOptions, waymark } from "../../src/index.ts";
import { checkOptions, type DatabasePlace, resolveOptions } from "../../src/options.ts";
import { ELIZA_TABLES } from "../../src/tables.ts";
import type { Kind, TestDatabase } from "../databases.ts";

/** An agent of a test's own, with an entity in a room of a world. */
export interface Home {
  readonly adapter: WaymarkAdapter;
  readonly agentId: UUID;
  readonly worldId: UUID;
  readonly roomId: UUID;
  readonly entityId: UUID;
}

/** The fixture of the suite: one database for all tests, each of which has agents of its own. */
export class Bench {
  /** Names of the methods that tests have called. */
  readonly called = new Set<string>();
  #database: TestDatabase | null = null;
  #connection: SharedConnection | null = null;

  constructor({ create }: Kind) {
    beforeAll(async () => {
      this.#database = await create();
      this.#connection = acquire(this.place); // stays open between tests
    });
    afterAll(async () => {
      await this.#connection?.release();
      await this.#database?.drop();
    });
  }

  get options(): WaymarkOptions {
    return (this.#database as TestDatabase).options;
  }

  get place(): DatabasePlace {
    return resolveOptions(checkOptions(this.options)).place;
  }

  /** The tables, to read and write rows around adapters. */
  async store(): Promise<RecordStore> {
    return await (this.#connection as SharedConnection).store();
  }

  /** Makes an adapter, which is closed after the test. It changes nothing that it is given: what is in arguments is frozen. */
  adapterOf(agentId: UUID, options: WaymarkOptions = {}): WaymarkAdapter {
    return this.watched(waymark.adapter({ ...this.options, ...options }, agentId));
  }

  /** Notes which methods of an adapter are called, freezes what they are given, and closes the adapter after the test. */
  watched(adapter: WaymarkAdapter): WaymarkAdapter {
    onTestFinished(() => adapter.close());
    return new Proxy(adapter, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return (...given: unknown[]) => {
          this.called.add(String(name));
          for (const argument of given) freeze(argument);
          return member(...given);
        };
      },
    });
  }

  /** Counts rows of a table. */
  async count<const Table extends TableDefinition>(table: Table, where: Where<Table>): Promise<number> {
    return await (await this.store()).run("count", (records, signal) => records.count(table, where, signal));
  }

  /** Counts an agent's rows in each table. */
  async rowsOf(agent: UUID): Promise<Record<string, number>> {
    const counts = ELIZA_TABLES.map(async (table) => {
      const where = table.name === "eliza_agents" ? { id: agent } : { agent };
      return [table.name, await this.count(table, where as never)] as const;
    });
    return Object.fromEntries(await Promise.all(counts));
  }

  /** Creates an agent, with what most tests need. */
  async newHome(options: WaymarkOptions = {}): Promise<Home> {
    const agentId = newId();
    const adapter = this.adapterOf(agentId, options);
    await adapter.createAgent({ id: agentId, name: "Ada" });
    return await settle(adapter, agentId);
  }
}

/** Creates an entity and a room in a world, for an agent. */
export async function settle(adapter: WaymarkAdapter, agentId: UUID): Promise<Home> {
  const [worldId, roomId, entityId] = [newId(), newId(), newId()];
  await Promise.all([
    adapter.createWorld({ id: worldId, name: "World", agentId }),
    adapter.createRooms([{ id: roomId, source: "test", type: "GROUP", worldId }]),
    adapter.createEntities([{ id: entityId, names: ["Bob"], metadata: {}, agentId }]),
  ]);
  return { adapter, agentId, worldId, roomId, entityId };
}

/** Adds a room to the world of a home. */
export async function newRoom({ adapter, worldId }: Home, members: object = {}): Promise<UUID> {
  const [id] = await adapter.createRooms([{ id: newId(), source: "test", type: "GROUP", worldId, ...members }]);
  return id as UUID;
}

export async function newEntity({ adapter, agentId }: Home, names: readonly string[] = ["Eve"]): Promise<UUID> {
  const id = newId();
  await adapter.createEntities([{ id, names: [...names], metadata: {}, agentId }]);
  return id;
}

let lastId = 0;

/** Makes an id that sorts behind all before it: lists of what was made in the same millisecond have that order. It has letters. */
export function newId(): UUID {
  const number = (++lastId).toString(16).padStart(8, "0");
  return `${number}-abcd-${randomUUID().split("-").slice(2).join("-")}` as UUID;
}

/** Stops the clock until the test ends, and returns a function that sets it. Timers go on. */
export function stopClock(): (time: number) => void {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  return (time) => vi.setSystemTime(time);
}

/** Freezes plain objects and arrays, and those in them. */
function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype) return;
  Object.freeze(value);
  for (const { value: member } of Object.values(Object.getOwnPropertyDescriptors(value))) freeze(member);
}

/** Expects a call to be refused, with this code and words. */
export async function expectRefusal(call: Promise<unknown>, code: string, words = ""): Promise<void> {
  await expect(call).rejects.toMatchObject({ name: "CheckpointError", code, message: expect.stringContaining(words) });
}

/** Keeps warnings from being printed until the test ends, and returns them: their codes and messages. */
export function collectWarnings(): { readonly code: string; readonly message: string }[] {
  const warnings: { code: string; message: string }[] = [];
  const spy = vi.spyOn(process, "emitWarning").mockImplementation((message, options) => {
    warnings.push({ code: String((options as { code?: string }).code), message: String(message) });
  });
  onTestFinished(() => spy.mockRestore());
  return warnings;
}

/** Characters that JSON escapes, or that columns of text do not take. */
export const ODD_TEXT =
  "nul \0, lone \ud800 and \udc00, both \u{1f600}, é e\u0301, \\ \\\\ \\u0000 \" ' \n\r\t\u2028 \ufeff";
