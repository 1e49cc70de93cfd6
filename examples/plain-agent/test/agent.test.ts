import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CheckpointService, createSQLiteStorage } from "@waymark/sqlite";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { PlainAgent } from "../src/agent.ts";
import { scriptedModel } from "../src/scripted-model.ts";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-plain-agent-"));
afterAll(() => rmSync(folder, { recursive: true }));

const lines = Array.from({ length: 200 }, (_, index) => `line ${index + 1}`);

/** The agent's process, and what it has said, line by line; `seen` is called with each. */
function start(databasePath: string, seen: (line: string) => void = () => {}) {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [MAIN, databasePath], { env });
  onTestFinished(() => void child.kill("SIGKILL"));
  child.stdin.on("error", () => {}); // a killed process does not read on
  child.stderr.pipe(process.stderr);
  const said: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    said.push(line);
    seen(line);
  });
  return { child, said, exit: once(child, "close") as Promise<[number | null, NodeJS.Signals | null]> };
}

const acknowledged = (said: readonly string[]) => said.filter((line) => line.startsWith("stored turn ")).length;

async function restored(databasePath: string): Promise<PlainAgent> {
  const storage = createSQLiteStorage({ type: "sqlite", databasePath });
  const service = new CheckpointService();
  service.registerProvider("main", storage);
  const agent = new PlainAgent("plain-agent", scriptedModel);
  const [latest] = await service.listCheckpoints({ agentId: agent.agentId, limit: 1 });
  if (latest) await service.restoreAgentCheckpoint(latest.id, agent);
  await storage.close();
  return agent;
}

describe("the agent", () => {
  it("loses no acknowledged turn when it is killed while it works, and goes on in another process", async () => {
    const databasePath = join(folder, "killed.db");
    // Many lines at once: the kill finds the process at work on the next turn, or storing it. Not all: whoever is slow to
    // kill it would find it at the end.
    const killed = start(databasePath, (line) => {
      if (line === "stored turn 40") killed.child.kill("SIGKILL");
    });
    killed.child.stdin.write(`${lines.slice(0, 150).join("\n")}\n`);
    expect(await killed.exit).toEqual([null, "SIGKILL"]);
    const known = acknowledged(killed.said);
    expect(known).toBeGreaterThanOrEqual(40);
    expect(known).toBeLessThan(lines.length);

    const after = (await restored(databasePath)).turn;
    expect(after).toBeGreaterThanOrEqual(known);
    expect(after).toBeLessThanOrEqual(known + 1); // one may have been stored, and the process killed before it could say so

    const resumed = start(databasePath);
    resumed.child.stdin.end(`${lines.slice(after).join("\n")}\n`);
    expect(await resumed.exit).toEqual([0, null]);
    expect(resumed.said[0]).toBe(`goes on after turn ${after}`);
    expect(resumed.said.at(-1)).toBe("stored turn 200");

    const undisturbed = new PlainAgent("plain-agent", scriptedModel);
    for (const line of lines) await undisturbed.takeTurn(line);
    expect((await restored(databasePath)).messages).toEqual(undisturbed.messages);
  });

  it("is stored in one line, of which the newest are kept", async () => {
    const databasePath = join(folder, "line.db");
    for (const typed of [lines, ["and one more"]]) {
      const { child, exit } = start(databasePath);
      child.stdin.end(`${typed.join("\n")}\n`);
      expect(await exit).toEqual([0, null]);
    }
    const storage = createSQLiteStorage({ type: "sqlite", databasePath });
    const kept = await storage.listCheckpoints({ agentId: "plain-agent" });
    await storage.close();
    expect(kept.map(({ name }) => name)).toEqual(Array.from({ length: 100 }, (_, index) => `turn ${201 - index}`));
    kept.slice(0, -1).forEach(({ parentId }, index) => {
      expect(parentId).toBe(kept[index + 1]?.id);
    });
  });

  it("does not take over a state that is not its own, and keeps what it has", async () => {
    const storage = createSQLiteStorage({ type: "sqlite", databasePath: join(folder, "foreign.db") });
    const service = new CheckpointService();
    service.registerProvider("main", storage);
    const agent = new PlainAgent("plain-agent", scriptedModel);
    await agent.takeTurn("hello");
    const { messages } = agent;
    for (const state of [
      null,
      {},
      { messages: "hello" },
      { messages: [{ role: "system", content: "" }, messages[0]] },
    ]) {
      const foreign = { agentId: "plain-agent", name: "foreign", state, createdAt: Date.now() };
      const id = await storage.storeCheckpoint(foreign);
      await expect(service.restoreAgentCheckpoint(id, agent)).rejects.toThrow(
        `restore agent: checkpoint ${id} is not of an agent like this one`,
      );
    }
    expect(agent.messages).toBe(messages);
    await storage.close();
  });
});
