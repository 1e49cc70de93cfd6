import type { AgentInputItem } from "@openai/agents-core";
import { createReplicatedStorage } from "@waymark/core";
import { createMySQLStorage } from "@waymark/mysql";
import { WaymarkSession } from "@waymark/openai-agents";
import { createPostgresStorage } from "@waymark/postgres";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { createDatabase, startProxy } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";
import { createSQLite } from "./databases.ts";

const QUICK = {
  operationTimeoutMs: 10_000,
  retry: { maxRetries: 0 },
  circuit: { failureThreshold: 3, resetTimeoutMs: 100 },
};

const servers = inject("waymarkServers");
const mains = [
  { name: "PostgreSQL", url: servers.postgres?.url, create: createPostgresStorage },
  { name: "MySQL", url: servers.mysql?.url, create: createMySQLStorage },
  { name: "MariaDB", url: servers.mariadb?.url, create: createMySQLStorage },
].flatMap(({ url, ...main }) => (url === undefined ? [] : [{ ...main, url }]));

describe.each(mains)("a session on $name with a file as its backup", ({ url, create }) => {
  it("is read from the backup while main is unreachable, and changes only with main", async () => {
    const [database, file] = [await createDatabase(url), createSQLite()];
    const proxy = await startProxy(database.url);
    const main = create({ connectionString: proxy.url, ...QUICK });
    const storage = createReplicatedStorage({
      main,
      backup: file.open(),
      replication: "required",
      staleReads: "allow",
    });
    onTestFinished(async () => {
      await storage.close({ timeoutMs: 500 });
      await Promise.all([proxy.stop(), file.drop()]);
      await database.drop();
    });
    const session = new WaymarkSession({ storage, sessionId: "a session" });
    const says = (content: string): AgentInputItem => ({ role: "user", content });
    await session.addItems([says("one"), says("two")]);
    expect(await session.popItem()).toEqual(says("two"));

    await proxy.refuse(true);
    proxy.dropAll();
    expect(await session.getItems()).toEqual([says("one")]);
    for (const change of [
      () => session.addItems([says("three")]),
      () => session.popItem(),
      () => session.clearSession(),
    ]) {
      await expect(change()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    }
    expect(await session.getItems()).toEqual([says("one")]);

    await proxy.refuse(false);
    await expect.poll(async () => (await storage.status()).mode, { timeout: 60_000 }).toBe("main");
    await session.addItems([says("three")]);
    expect(await session.getItems()).toEqual([says("one"), says("three")]);
    await session.clearSession();
    expect(await session.getItems()).toEqual([]);
    expect(await storage.listCheckpoints({ agentId: "a session" })).toEqual([]);
  });
});
