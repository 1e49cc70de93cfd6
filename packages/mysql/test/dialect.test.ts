import { describe, expect, it, onTestFinished } from "vitest";
import { describeDialect } from "../../core/test/describe-dialect.ts";
import { createMySQLDialect } from "../src/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { startNode } from "./node.ts";
import { checkpoint, connect, emptyDatabase, open, servers } from "./on-server.ts";

describe.each(servers)("$title", ({ url: serverUrl }) => {
  describeDialect(
    async () => {
      const { url } = await emptyDatabase(serverUrl);
      return {
        async open() {
          const dialect = createMySQLDialect(resolveOptions({ connectionString: url }));
          onTestFinished(() => dialect.close());
          await dialect.open(new AbortController().signal);
          return dialect;
        },
        async begin() {
          const connection = await connect(url);
          await connection.beginTransaction();
          return { run: (sql) => connection.query(sql), commit: () => connection.commit() };
        },
      };
    },
    (id) => `x'${id.replaceAll("-", "")}'`,
  );

  it("lets exactly one of 32 writers in four processes store after the latest, each time", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const program = `
      const storage = createMySQLStorage({ connectionString: args[0], poolSize: 8 });
      await storage.listAgents();
      console.log("ready");
      for (let latest = await line(); latest !== "end"; latest = await line()) {
        const ifLatest = latest === "none" ? null : latest;
        const stores = Array.from({ length: 8 }, () =>
          storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 0 }, { ifLatest }));
        const results = await Promise.allSettled(stores);
        console.log(JSON.stringify(results.map(({ value, reason }) => value ?? reason.code)));
      }
      await storage.close();`;
    const children = Array.from({ length: 4 }, () => startNode(program, url));
    await Promise.all(children.map((child) => child.line()));

    const storage = open({ connectionString: url });
    let latest = "none";
    for (let round = 1; round <= 25; round++) {
      for (const child of children) child.send(latest);
      const outcomes = (await Promise.all(children.map((child) => child.line()))).flatMap(
        (text) => JSON.parse(text) as string[],
      );
      const winners = outcomes.filter((outcome) => outcome !== "CONFLICT");
      expect(winners).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
      expect(outcomes).toHaveLength(32);
      latest = winners[0] as string;
      expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(latest);
    }
    for (const child of children) child.send("end");
    expect((await Promise.all(children.map((child) => child.exit))).map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(await storage.listCheckpoints()).toHaveLength(25);
    expect(await storage.storeCheckpoint(checkpoint(), { ifLatest: latest })).toEqual(expect.any(String));
  });
});
