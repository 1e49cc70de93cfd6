import { type Database, forwardThrough, type Opened, RECORDS, type Records, type SharedUse } from "@waymark/core/kit";
import type { Sql } from "postgres";
import { type ClientRunner, drizzleOn, runnerOn } from "../client.ts";
import type { Connection } from "../connection.ts";
import type { ResolvedOptions } from "../options.ts";
import { NearestRows } from "./nearest.ts";
import { PostgresRecords } from "./records.ts";
import { findVectorExtension, type VectorExtension } from "./vector-extension.ts";

/** What a domain's own statements are made of. */
export interface SearchParts {
  readonly runner: ClientRunner;
  readonly records: PostgresRecords;
  readonly extension: VectorExtension | null;
}

/** The verbs on a client, and the statements of a domain beside them. */
export interface RecordAccess<Search> {
  readonly records: Records;
  onSearch<Result>(signal: AbortSignal, work: (search: Search, parts: SearchParts) => Promise<Result>): Promise<Result>;
  /** Opens the database, and looks for pgvector. */
  open(signal: AbortSignal): Promise<Opened>;
  /** Looks for pgvector again. */
  lookForExtension(signal: AbortSignal): Promise<void>;
}

type Statements<Search> = SearchParts & { readonly nearest: NearestRows; readonly search: Search };

/** Gives access to records on a client. `makeSearch` makes the domain's own statements. */
export function recordsOn<Search>(
  connection: SharedUse<Connection>,
  options: ResolvedOptions,
  database: Database,
  makeSearch: (parts: SearchParts) => Search,
): RecordAccess<Search> {
  /** A client is replaced when it is stuck. */
  let ofClient = new WeakMap<Sql, Statements<Search>>();
  let extension: VectorExtension | null = null;

  function statementsOn(client: Sql): Statements<Search> {
    const existing = ofClient.get(client);
    if (existing !== undefined) return existing;
    const runner = runnerOn(client, options.prepare);
    const records = new PostgresRecords(runner, drizzleOn(client, options.prepare), options, extension?.schema ?? null);
    const nearest = new NearestRows(records, extension);
    const statements = { runner, records, nearest, extension, search: makeSearch({ runner, records, extension }) };
    ofClient.set(client, statements);
    return statements;
  }

  async function use<Result>(
    signal: AbortSignal,
    work: (statements: Statements<Search>) => Promise<Result>,
  ): Promise<Result> {
    const { use: useClient } = await connection.get(signal);
    return await useClient(signal, (client) => work(statementsOn(client)));
  }

  async function lookForExtension(signal: AbortSignal): Promise<void> {
    extension = await use(signal, ({ runner }) => findVectorExtension(runner));
    ofClient = new WeakMap();
  }

  const onRecords = (signal: AbortSignal, work: (records: PostgresRecords) => Promise<unknown>) =>
    use(signal, ({ records }) => work(records));
  const verbs = RECORDS.filter((name) => name !== "nearest");
  const nearest = (table: never, query: never, signal: AbortSignal) =>
    use(signal, (statements) => statements.nearest.nearest(table, query));

  return {
    records: {
      ...forwardThrough<PostgresRecords, (typeof verbs)[number]>(onRecords, verbs),
      nearest,
    } as unknown as Records,
    onSearch: (signal, work) => use(signal, (statements) => work(statements.search, statements)),
    async open(signal) {
      const opened = await database.open(signal);
      await lookForExtension(signal);
      return opened;
    },
    lookForExtension,
  };
}
