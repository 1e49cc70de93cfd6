import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createSQLiteMemory, type MemoryStorage } from "@waymark/sqlite/memory";
import { MockLanguageModelV3 } from "ai/test";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { createChat } from "../src/chat.ts";
import { scriptedEmbedder } from "../src/scripted-embedder.ts";
import { scriptedModel } from "../src/scripted-model.ts";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-chat-that-remembers-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the program for one message. Returns the thread as it prints it. */
async function run(...args: string[]): Promise<string[]> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, join(folder, "chat.db"), ...args], { env });
  return stdout.trim().split("\n");
}

let memory: MemoryStorage;
beforeEach(() => {
  memory = createSQLiteMemory({
    databasePath: ":memory:",
    embedder: scriptedEmbedder,
    collections: { "*": { language: "en" } },
  });
});
afterEach(() => memory.close());

const chatOf = (userId: string) => createChat({ memory, model: scriptedModel(), userId });

describe("a chat", () => {
  it("remembers in another process, in another thread, and only for its user", async () => {
    await run("ann", "monday", "I am allergic to peanuts.");
    expect(await run("ann", "monday", "My sister is called Bea.")).toEqual([
      "user: I am allergic to peanuts.",
      "assistant: I will remember that.",
      "user: My sister is called Bea.",
      "assistant: I will remember that.",
    ]);
    expect(await run("ann", "tuesday", "What am I allergic to?")).toEqual([
      "user: What am I allergic to?",
      "assistant: You told me: I am allergic to peanuts.",
    ]);
    expect(await run("ben", "monday", "What am I allergic to?")).toEqual([
      "user: What am I allergic to?",
      "assistant: You have not told me.",
    ]);
  });

  it("has a fact once that it is told twice", async () => {
    const chat = chatOf("ann");
    await chat.say("one", "My name is Ann.");
    await chat.say("two", "My name is Ann.");
    expect(await memory.countItems({ owner: "ann", collection: "memories" })).toBe(1);
    expect(await chat.say("two", "What is my name?")).toBe("You told me: My name is Ann.");
  });

  it("lists the threads of a user", async () => {
    const chat = chatOf("ann");
    await chat.say("one", "My name is Ann.");
    await chat.say("two", "I live in Oslo.");
    await chat.say("one", "I drink tea.");
    expect(new Set((await chat.threads()).map(({ id, title }) => `${id}: ${title}`))).toEqual(
      new Set(["one: My name is Ann.", "two: I live in Oslo."]),
    );
  });

  it("keeps what the user has said when the model fails", async () => {
    const broken = new MockLanguageModelV3({
      doGenerate: async () => {
        throw new Error("overloaded");
      },
    });
    const chat = createChat({ memory, model: broken, userId: "ann" });
    await expect(chat.say("one", "My name is Ann.")).rejects.toThrow();
    expect(await chatOf("ann").messages("one")).toEqual([
      expect.objectContaining({ role: "user", content: "My name is Ann." }),
    ]);
  });

  it("forgets a user whole", async () => {
    await chatOf("ann").say("one", "My name is Ann.");
    await chatOf("ben").say("one", "My name is Ben.");
    await memory.forgetOwner("ann");
    expect(await chatOf("ann").messages("one")).toEqual([]);
    expect(await chatOf("ann").say("two", "What is my name?")).toBe("You have not told me.");
    expect(await chatOf("ben").say("two", "What is my name?")).toBe("You told me: My name is Ben.");
  });
});
