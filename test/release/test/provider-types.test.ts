import type {} from "@waymark/mysql";
import { createPostgresStorage, defineConfig } from "@waymark/postgres";
import type {} from "@waymark/sqlite";
import { expect, it } from "vitest";

// Most of this file is checked by `tsc`.

it("types the options of each provider by its type, where its package is imported", () => {
  const connectionString = process.env["WAYMARK_NOT_SET"];
  const config = defineConfig({
    checkpoint: {
      providers: {
        main: { type: "postgres", connectionString, poolSize: 7, ssl: { rejectUnauthorized: false } },
        backup: { type: "sqlite", databasePath: "./backup.db", synchronous: "NORMAL" },
        other: { type: "mysql", connectionString, encryption: null },
      },
    },
  });
  expect(config.checkpoint?.providers.main.type).toBe("postgres");

  defineConfig({
    checkpoint: {
      providers: {
        // @ts-expect-error a number
        main: { type: "postgres", connectionString, poolSize: "7" },
        // @ts-expect-error one of three
        backup: { type: "sqlite", databasePath: "./backup.db", synchronous: "OFF" },
        // @ts-expect-error an option of others: does not exist in type 'ProviderOf<"mysql">'
        other: { type: "mysql", connectionString, databasePath: "./backup.db" },
      },
    },
  });
  // @ts-expect-error without main
  defineConfig({ checkpoint: { providers: { backup: { type: "postgres", connectionString } } } });
  // Memory alone has a provider of its own.
  defineConfig({ memory: { provider: { type: "postgres", connectionString } } });
  // @ts-expect-error no such option of the replication
  defineConfig({ checkpoint: { providers: { main: { type: "postgres", connectionString } }, failOver: true } });
});

it("takes any options of an unknown type, of a factory, and of a type that is no literal", () => {
  const type: string = "postgres";
  const condition = type.length > 100;
  defineConfig({
    checkpoint: {
      providers: {
        main: { type: "of-our-own", poolSize: "7" },
        backup: condition ? { type: "sqlite", databasePath: "./backup.db" } : undefined,
        third: { type: createPostgresStorage, anything: 1 },
        fourth: { type, poolSize: "7" },
      },
    },
  });
});
