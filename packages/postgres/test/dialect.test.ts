import type { Dialect, Row } from "@waymark/core/dialect-kit";
import { expect, it, onTestFinished } from "vitest";
import { createPostgresDialect } from "../src/dialect.ts";
import { type PostgresStorageOptions, resolveOptions } from "../src/options.ts";
import { startNode } from "./node.ts";
import { checkpoint, emptyDatabase, open, rejection } from "./on-server.ts";

const { signal } = new AbortController();

async function opened(options: PostgresStorageOptions): Promise<Dialect> {
  const dialect = createPostgresDialect(resolveOptions(options));
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  return dialect;
}

async function emptyDialect(): Promise<Dialect> {
  return await opened({ connectionString: (await emptyDatabase()).url });
}

const id = (number: number) => `01890000-0000-7000-8000-${String(number).padStart(12, "0")}`;

function row(number: number, more: Partial<Row> = {}): Row {
  return {
    id: id(number),
    agentId: "agent",
    namespace: "",
    name: `row ${number}`,
    parentId: null,
    baseId: null,
    afterId: null,
    createdAt: number,
    metadata: null,
    encoding: "json",
    stateBytes: 1,
    digest: Buffer.alloc(32, number),
    pending: null,
    state: Buffer.from(String(number)),
    ...more,
  };
}

/** Every row as number → base's number. */
async function bases(dialect: Dialect): Promise<Record<number, number | null>> {
  const number = (text: string) => Number(text.slice(-12));
  const rows = await dialect.list({ limit: 10_000 }, signal);
  return Object.fromEntries(rows.map(({ id, baseId }) => [number(id), baseId === null ? null : number(baseId)]));
}

const faultOf = async (dialect: Dialect, promise: Promise<unknown>) => dialect.classify(await rejection(promise));

it("brings back every column as it was inserted", async () => {
  const dialect = await emptyDialect();
  const base = row(1, { namespace: "n", metadata: "\nlabel\n", pending: 5, createdAt: -8_640_000_000_000_000 });
  const delta = row(2, {
    namespace: "n",
    baseId: id(1),
    parentId: id(9),
    afterId: id(1),
    createdAt: 8_640_000_000_000_000,
  });
  expect(await dialect.commit({ insert: [base, delta] }, signal)).toBe(true);
  const plain = (rows: readonly Row[]) =>
    rows.map(({ digest, state, ...rest }) => ({ ...rest, digest: Buffer.from(digest), state: Buffer.from(state) }));
  expect(plain(await dialect.readChain(id(2), signal))).toEqual(plain([delta, base]));
});

it("refuses a row whose base is not there", async () => {
  const dialect = await emptyDialect();
  expect(await faultOf(dialect, dialect.commit({ insert: [row(2, { baseId: id(1) })] }, signal))).toBe("foreign-key");
  expect(await faultOf(dialect, dialect.commit({ insert: [row(5), row(6, { baseId: id(1) })] }, signal))).toBe(
    "foreign-key",
  );
  expect(await bases(dialect)).toEqual({});
});

it("refuses to remove a row that another one builds on, and removes both together", async () => {
  const dialect = await emptyDialect();
  await dialect.commit({ insert: [row(1), row(2, { baseId: id(1) }), row(3, { baseId: id(2) }), row(4)] }, signal);
  expect(await faultOf(dialect, dialect.commit({ remove: [id(4), id(1)] }, signal))).toBe("foreign-key");
  expect(await bases(dialect)).toEqual({ 1: null, 2: 1, 3: 2, 4: null });
  expect(await dialect.commit({ remove: [id(9), id(3), id(2), id(1)] }, signal)).toBe(true);
  expect(await bases(dialect)).toEqual({ 4: null });
});

it("classifies a row that is there, and a second one after the same row, as duplicates", async () => {
  const dialect = await emptyDialect();
  await dialect.commit({ insert: [row(1), row(2, { afterId: id(1) })] }, signal);
  expect(await faultOf(dialect, dialect.commit({ insert: [row(3), row(1)] }, signal))).toBe("duplicate");
  const late = { remove: [id(2)], insert: [row(3, { afterId: id(2) }), row(2)] };
  expect(await faultOf(dialect, dialect.commit(late, signal))).toBe("duplicate");
  expect(await bases(dialect)).toEqual({ 1: null, 2: null });
});

it("inserts after a row only while that is the latest of its agent and namespace", async () => {
  const dialect = await emptyDialect();
  const nil = "00000000-0000-0000-0000-000000000000";
  const refuses = async (...insert: Row[]) =>
    await dialect.commit({ insert }, signal).then(
      (committed) => !committed,
      (error: unknown) => dialect.classify(error) === "duplicate", // by the unique index
    );
  expect(await dialect.commit({ insert: [row(1, { afterId: nil })] }, signal)).toBe(true);
  expect(await refuses(row(2, { afterId: nil }))).toBe(true);
  expect(await dialect.commit({ insert: [row(2, { afterId: nil, namespace: "other" })] }, signal)).toBe(true);
  expect(await dialect.commit({ insert: [row(3, { afterId: id(1) }), row(4, { afterId: id(3) })] }, signal)).toBe(true);
  expect(await refuses(row(5), row(6, { afterId: id(3) }))).toBe(true);
  expect(await refuses(row(5), row(6, { afterId: id(1), namespace: "other" }))).toBe(true); // by the look beside it
  expect(await bases(dialect)).toEqual({ 1: null, 2: null, 3: null, 4: null });
});

it("rewrites a row only while its base is the one that was read", async () => {
  const dialect = await emptyDialect();
  await dialect.commit({ insert: [row(1), row(2), row(3, { baseId: id(1) })] }, signal);
  const rewrite = { id: id(3), encoding: "other", state: Buffer.from("new") };

  expect(await dialect.commit({ rewrite: [{ ...rewrite, fromBaseId: id(2), baseId: null }] }, signal)).toBe(false);
  expect(await dialect.commit({ rewrite: [{ ...rewrite, fromBaseId: null, baseId: null }] }, signal)).toBe(false);
  expect(await dialect.commit({ rewrite: [{ ...rewrite, id: id(9), fromBaseId: null, baseId: null }] }, signal)).toBe(
    false,
  );
  expect(await bases(dialect)).toEqual({ 1: null, 2: null, 3: 1 });

  expect(await dialect.commit({ rewrite: [{ ...rewrite, fromBaseId: id(1), baseId: id(2) }] }, signal)).toBe(true);
  const same = { rewrite: [{ ...rewrite, fromBaseId: id(2), baseId: id(2) }] };
  expect(await dialect.commit(same, signal)).toBe(true);
  expect(await dialect.commit(same, signal)).toBe(true); // though nothing changes
  const [rewritten] = await dialect.readChain(id(3), signal);
  expect(rewritten).toMatchObject({ encoding: "other", baseId: id(2) });
  expect(Buffer.from(rewritten?.state ?? []).toString()).toBe("new");

  const orphan = { rewrite: [{ ...rewrite, fromBaseId: id(2), baseId: id(9) }] };
  expect(await faultOf(dialect, dialect.commit(orphan, signal))).toBe("foreign-key");
});

it("commits a mixed change whole or not at all", async () => {
  const dialect = await emptyDialect();
  await dialect.commit({ insert: [row(1), row(2, { baseId: id(1) }), row(3, { baseId: id(2) })] }, signal);
  const before = await bases(dialect);
  const rewrite = { id: id(2), fromBaseId: id(1), baseId: null, encoding: "json", state: Buffer.from("2") };

  const guardMisses = { insert: [row(4)], rewrite: [rewrite, { ...rewrite, id: id(3) }], remove: [id(1)] };
  expect(await dialect.commit(guardMisses, signal)).toBe(false);
  expect(await bases(dialect)).toEqual(before);

  const stillNeeded = { insert: [row(4)], rewrite: [rewrite], remove: [id(2)] };
  expect(await faultOf(dialect, dialect.commit(stillNeeded, signal))).toBe("foreign-key");
  expect(await bases(dialect)).toEqual(before);

  expect(await dialect.commit({ insert: [row(4)], rewrite: [rewrite], remove: [id(1)] }, signal)).toBe(true);
  expect(await bases(dialect)).toEqual({ 2: null, 3: 2, 4: null });
});

it("reads a chain of 256 rows from the row that was asked for to the whole one", async () => {
  const dialect = await emptyDialect();
  // Bases need not be in the order of their ids: a chain that is read by id would show it.
  const numbers = Array.from({ length: 256 }, (_, position) => ((position * 101) % 256) + 1);
  const insert = numbers.map((number, position) =>
    row(number, { baseId: position === 0 ? null : id(numbers[position - 1] as number) }),
  );
  await dialect.commit({ insert: [row(1_000), ...insert, row(1_001, { baseId: id(numbers[255] as number) })] }, signal);
  const chain = await dialect.readChain(id(numbers[255] as number), signal);
  expect(chain.map((link) => link.name)).toEqual([...insert].reverse().map((link) => link.name));
  expect(await dialect.readChain(id(2_000), signal)).toEqual([]);
  const dependents = await dialect.dependents([id(numbers[255] as number), id(numbers[0] as number)], signal);
  expect(dependents.map((link) => link.id)).toEqual([id(1_001), id(numbers[1] as number)]);
});

it("lets exactly one of 32 writers in four processes store after the latest, each time", async () => {
  const { url } = await emptyDatabase();
  const program = `
    const storage = createPostgresStorage({ connectionString: args[0], poolSize: 8 });
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
