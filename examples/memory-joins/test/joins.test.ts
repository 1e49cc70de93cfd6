import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createConversationRepository, createSQLiteMemory } from "@waymark/sqlite/memory";
import { memoryItems, memoryTables } from "@waymark/sqlite/memory/schema";
import Database from "better-sqlite3";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import { type Application, openApplication, users } from "../src/application.ts";
import { conversationsPerPlan, deleteUser, itemsPerUser, newestMessages } from "../src/reports.ts";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));

let application: Application;
beforeEach(async () => {
  application = await openApplication(":memory:");
  const conversations = createConversationRepository(application.memory);
  for (const [id, name, plan] of [
    ["u1", "Ann", "pro"],
    ["u2", "Ben", "free"],
    ["u3", "Cid", "free"],
  ] as const) {
    application.db
      .insert(users)
      .values({ id, name, plan, createdAt: new Date(0) })
      .run();
    if (id === "u3") continue;
    await conversations.create({
      userId: id,
      id: "c",
      title: `Of ${name}`,
      messages: [{ role: "user", content: `I am ${name}` }],
    });
  }
});
afterEach(() => application.close());

describe("joins with the tables of memory", () => {
  it("find the newest messages of all users, with types", () => {
    const rows = newestMessages(application.db, 10);
    expectTypeOf(rows).toEqualTypeOf<
      {
        user: string;
        plan: "free" | "pro";
        thread: string | null;
        role: string | null;
        text: string;
        createdAt: number;
      }[]
    >();
    expect(rows).toEqual([
      { user: "Ben", plan: "free", thread: "Of Ben", role: "user", text: "I am Ben", createdAt: expect.any(Number) },
      { user: "Ann", plan: "pro", thread: "Of Ann", role: "user", text: "I am Ann", createdAt: expect.any(Number) },
    ]);
    expect(newestMessages(application.db, 1)).toHaveLength(1);
  });

  it("leave out an item whose time has come", async () => {
    const { db, memory } = application;
    await memory.addItems([{ owner: "u1", collection: "messages", text: "gone", expiresAt: Date.now() - 1 }]);
    expect(newestMessages(db, 10).map(({ text }) => text)).toEqual(["I am Ben", "I am Ann"]);
  });

  it("count what each user has, also nothing", () => {
    const rows = itemsPerUser(application.db, "messages");
    expectTypeOf(rows).toEqualTypeOf<{ user: string; items: number | null }[]>();
    expect(rows).toEqual([
      { user: "Ann", items: 1 },
      { user: "Ben", items: 1 },
      { user: "Cid", items: null },
    ]);
  });

  it("count the conversations of each plan", () => {
    expect(conversationsPerPlan(application.db)).toEqual([
      { plan: "free", conversations: 1, lastUsedAt: expect.any(Number) },
      { plan: "pro", conversations: 1, lastUsedAt: expect.any(Number) },
    ]);
  });

  it("find nothing of a user who was deleted", async () => {
    await deleteUser(application, "u1");
    expect(newestMessages(application.db, 10).map(({ user }) => user)).toEqual(["Ben"]);
    expect(itemsPerUser(application.db, "messages").map(({ user }) => user)).toEqual(["Ben", "Cid"]);
  });

  it("select whole rows, with their types", () => {
    const [row] = application.db.select().from(memoryItems).where(eq(memoryItems.text, "I am Ann")).all();
    expectTypeOf<NonNullable<typeof row>["thread"]>().toEqualTypeOf<string | null>();
    expectTypeOf<NonNullable<typeof row>["id"]>().toEqualTypeOf<string>();
    expect(row?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  it("use tables with a prefix", async () => {
    const client = new Database(":memory:");
    client.pragma("foreign_keys = on");
    const memory = createSQLiteMemory({ database: client, tablePrefix: "app_" });
    await memory.addItems([{ owner: "u1", collection: "memories", text: "likes tea" }]);
    const tables = memoryTables("app_");
    const rows = drizzle({ client }).select({ text: tables.memoryItems.text }).from(tables.memoryItems).all();
    expect(rows).toEqual([{ text: "likes tea" }]);
    await memory.close();
    client.close();
  });
});

it("the program prints its reports", async () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN], { env });
  expect(stdout).toContain("Which knot for fenders?");
  expect(stdout).toContain("lastUsedAt");
});
