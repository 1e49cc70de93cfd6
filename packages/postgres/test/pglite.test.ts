import { inspect } from "node:util";
import type { PGlite } from "@electric-sql/pglite";
import { rejection } from "@waymark/conformance";
import { createPostgresStorage, createReplicatedStorage, type PostgresStorageOptions } from "@waymark/postgres";
import type { Sql } from "postgres";
import { describe, expect, it, onTestFinished } from "vitest";
import { begin } from "../src/client.ts";
import { connect } from "../src/connection.ts";
import { resolveOptions } from "../src/options.ts";
import { checkpoint, emptyDatabase, open } from "./on-server.ts";
import { newSchema, sharedPglite } from "./pglite-cases.ts";

const { signal } = new AbortController();

async function newCase(): Promise<{ pglite: PGlite; schema: string }> {
  const { schema, drop } = await newSchema();
  onTestFinished(drop);
  return { pglite: await sharedPglite(), schema };
}

/** Returns a promise, and the function that settles it. */
function gate(): { opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe("a client on PGlite", () => {
  /** Runs `work` on PGlite and on a server, and returns what it gives on each. */
  async function onBoth<Result>(work: (client: Sql) => Promise<Result>): Promise<[Result, Result]> {
    const { url } = await emptyDatabase();
    const results: Result[] = [];
    for (const options of [{ pglite: await sharedPglite() }, { connectionString: url }]) {
      const connection = await connect(resolveOptions(options));
      results.push(await connection.use(signal, work));
      await connection.close();
    }
    return results as [Result, Result];
  }

  const VALUES = [
    "'\\x00ff5c'::bytea, ''::bytea, decode('5cff', 'hex')",
    "1::int8, 9223372036854775807::int8, -5::int8, 7::int4, 7::int2, 1.5::float8, 1.50::numeric",
    "'01890a5d-ac96-774b-bcce-b302099a8057'::uuid, true, false, null::text, 'é😀'::text, ''::text",
    `'{"a": [1, null, "x"]}'::json, '{"a": 1}'::jsonb, '"text"'::json`,
    "'2026-11-30 12:00:00.123+00'::timestamptz",
    "'{1,2}'::int4[], '{a,NULL}'::text[], '{1}'::int8[], '{0.5}'::float4[], '{01890a5d-ac96-774b-bcce-b302099a8057}'::uuid[]",
  ];

  it.each(VALUES)("returns values as one on a server does, in objects and in arrays: %s", async (values) => {
    const [pglite, server] = await onBoth(async (client) => {
      const [arrays, names] = [await client.unsafe(`select ${values}`, []).values(), "abcdefgh"];
      const columns = arrays[0]?.map((_, at) => names[at]);
      const rows = await client.unsafe(`select * from (select ${values}) as t (${columns})`, []);
      return { rows: [...rows], arrays: [...arrays], count: rows.count };
    });
    expect(pglite).toStrictEqual(server);
  });

  it("takes parameters, and counts rows, as one on a server does", async () => {
    const [pglite, server] = await onBoth(async (client) => {
      const counts: number[] = [];
      const run = async (sql: string, ...parameters: unknown[]) => {
        const rows = await client.unsafe(sql, parameters as never[]);
        counts.push(rows.count);
        return [...rows];
      };
      await run("create temporary table t (id int8, bytes bytea, words text, flag boolean, object json)");
      await run("insert into t values ($1, $2, $3, $4, $5)", 5, new Uint8Array([0, 255]), "é", true, '{"a":1}');
      await run(
        "insert into t select $1::int8 + n, $2, $3, null, null from generate_series(1, 3) as n",
        "10",
        null,
        "x",
      );
      await run("update t set words = $1 where id > $2", "y", 11);
      const rows = await run("select * from t order by id");
      await run("with gone as (delete from t where id = $1 returning id) select * from gone", 5);
      await run("delete from t");
      return { rows, counts: counts.slice(1) };
    });
    expect(pglite).toStrictEqual(server);
  });

  it("runs no other statement between those of a transaction, and one that fails leaves it usable", async () => {
    const connection = await connect(resolveOptions({ pglite: await sharedPglite() }));
    const inTransaction = async (client: Sql) =>
      (await client.unsafe("select txid_current_if_assigned() is not null as is").values())[0]?.[0];
    await connection.use(signal, async (client) => {
      await client.unsafe("create temporary table turns (n int)");
      const failing = begin(client, async (transaction) => {
        await transaction.unsafe("insert into turns values (1)");
        await transaction.unsafe("select 1 / 0");
      });
      const succeeding = begin(client, async (transaction) => {
        for (let n = 2; n < 12; n++) await transaction.unsafe("insert into turns values ($1)", [n]);
      });
      const others = Array.from({ length: 10 }, () => inTransaction(client));
      expect(await rejection(failing)).toMatchObject({ code: "22012" });
      await succeeding;
      expect(new Set(await Promise.all(others))).toEqual(new Set([false]));
      expect([...(await client.unsafe("select count(*)::int from turns").values())]).toEqual([[10]]);
      await client.unsafe("drop table turns");
    });
  });
});

describe("a storage on a PGlite of the user's own", () => {
  it("stores outside of the user's transactions, which it waits for until its deadline", async () => {
    const { pglite, schema } = await newCase();
    const storage = open({ pglite, schema });
    const short = open({ pglite, schema, operationTimeoutMs: 100, migrate: "off" });
    await storage.storeCheckpoint(checkpoint({ name: "before" }));
    const [begun, end] = [gate(), gate()];
    const transaction = pglite.transaction(async (own) => {
      await own.query("create table if not exists public.own (n int)");
      begun.open();
      await end.opened;
      await own.rollback();
    });
    await begun.opened;
    const stored = storage.storeCheckpoint(checkpoint({ name: "meanwhile" }));
    expect(await rejection(short.listCheckpoints())).toMatchObject({ code: "TIMEOUT" });
    end.open();
    await transaction;
    await stored;
    expect((await storage.listCheckpoints()).map(({ name }) => name)).toEqual(["meanwhile", "before"]);
    expect(await short.listCheckpoints({ limit: 1 })).toHaveLength(1);
  });

  it("leaves it open and its parsers as they are, and names it as the driver", async () => {
    const { pglite, schema } = await newCase();
    const storage = createPostgresStorage({ pglite, schema });
    await storage.storeCheckpoint(checkpoint());
    const { main } = (await storage.status()).providers;
    expect(main).toMatchObject({ driver: "pglite", location: null });
    await storage.close();
    const { rows } = await pglite.query<{ n: unknown; b: unknown }>("select 1::int8 as n, '\\x01'::bytea as b");
    expect(rows).toStrictEqual([{ n: 1, b: new Uint8Array([1]) }]);
  });

  it("is refused if that is closed", async () => {
    const pglite = { closed: true, query: async () => {}, transaction: async () => {} };
    const message = "expected options.pglite to be open, got one that is closed";
    expect(await rejection(open({ pglite }).listCheckpoints())).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });

  it("shows no parameter in an error", async () => {
    const { pglite, schema } = await newCase();
    const storage = open({ pglite, schema });
    await storage.storeCheckpoint(checkpoint());
    await pglite.exec(`alter table ${schema}.agent_checkpoints add check (name <> 'canary-4f1c9e')`);
    const refused = await rejection(storage.storeCheckpoint(checkpoint({ name: "canary-4f1c9e" })));
    expect(refused).toMatchObject({ code: "DATABASE_ERROR", cause: { code: "23514" } });
    expect(inspect(refused, { depth: 9, showHidden: true })).not.toContain("canary");
  });
});

describe("a storage in memory", () => {
  it("stores and retrieves, in no place that it could name", async () => {
    const storage = open({ pgliteDataDir: "memory://", operationTimeoutMs: 240_000 });
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.retrieveCheckpoint(id)).toMatchObject({ id });
    expect((await storage.status()).providers.main).toMatchObject({ driver: "pglite", location: null });
  });
});

describe("main and backup", () => {
  it.each(["main", "backup"])("replicates with PGlite as %s and a server as the other", async (role) => {
    const { pglite, schema } = await newCase();
    const onPglite: PostgresStorageOptions = { pglite, schema };
    const onServer: PostgresStorageOptions = { connectionString: (await emptyDatabase()).url };
    const [main, backup] = role === "main" ? [onPglite, onServer] : [onServer, onPglite];
    const storage = createReplicatedStorage({
      main: createPostgresStorage(main),
      backup: createPostgresStorage(backup),
    });
    const id = await storage.storeCheckpoint(checkpoint({ state: { seen: new Set([1n]) } }));
    expect(await storage.retrieveCheckpoint(id)).toMatchObject({ source: "main", state: { seen: new Set([1n]) } });
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    for (const options of [main, backup]) expect(await open(options).retrieveCheckpoint(id)).toMatchObject({ id });
  });
});
