import { describe, expect, test } from "vitest";
import type { CheckpointError } from "../../src/contract/errors.ts";
import {
  type AppliedMigration,
  foreignTable,
  type Migration,
  migrationDigest,
  missingMigrations,
  schemaOutdated,
} from "../../src/database/migrations.ts";

const migration = (name: string, minimumReader = 1): Migration => ({
  name,
  minimumReader,
  statements: [`CREATE ${name}`, "SELECT 1"],
});
const applied = (of: Migration): AppliedMigration => ({
  name: of.name,
  minimumReader: of.minimumReader,
  digest: migrationDigest(of),
});

const [first, second, third] = [migration("0000_first"), migration("0001_second"), migration("0002_third", 3)] as const;

const errorOf = (call: () => unknown): CheckpointError | null => {
  try {
    call();
    return null;
  } catch (error) {
    return error as CheckpointError;
  }
};

describe("the migrations that a database lacks", () => {
  test("it is all of them in an empty one, and none in one that is up to date", () => {
    expect(missingMigrations([first, second], [])).toEqual([first, second]);
    expect(missingMigrations([first, second], [applied(second), applied(first)])).toEqual([]);
  });

  test("it is one in the middle too: sets are compared, not the highest", () => {
    expect(missingMigrations([first, second, third], [applied(first), applied(third)])).toEqual([second]);
  });

  test("it passes over a newer package's, as long as that lets this one work", () => {
    const additive = { name: "0002_more", digest: "?", minimumReader: 2 };
    expect(missingMigrations([first, second], [applied(first), additive])).toEqual([second]);
  });

  test("it is refused where a newer package's needs a newer reader", () => {
    const error = errorOf(() => missingMigrations([first, second], [applied(first), applied(second), applied(third)]));
    expect(error).toMatchObject({ code: "SCHEMA_TOO_NEW", retryable: false });
    expect(error?.message).toContain(
      "its migration 0002_third needs a package of schema version 3 or later, and this one has 2",
    );
  });

  test("it is refused where one of the same name did something else", () => {
    const error = errorOf(() => missingMigrations([first], [{ ...applied(first), digest: migrationDigest(second) }]));
    expect(error).toMatchObject({ code: "SCHEMA_MISMATCH", message: expect.stringContaining("0000_first") });
  });

  test("it is named by what is done, statement by statement", () => {
    const joined = { ...first, statements: [first.statements.join("")] };
    expect(migrationDigest(joined)).not.toBe(migrationDigest(first));
    expect(migrationDigest({ ...first, name: "other", minimumReader: 9 })).toBe(migrationDigest(first));
    expect(migrationDigest(first)).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("a schema that cannot be used", () => {
  test("it is told with what is missing, and the statements to run", () => {
    const error = schemaOutdated([first, second], ["CREATE 1", "CREATE 2"]);
    expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", retryable: false, sql: ["CREATE 1", "CREATE 2"] });
    expect(error.message).toContain("its schema lacks 0000_first, 0001_second");
  });

  test("it is told by the table that is not ours, and what to do", () => {
    expect(foreignTable("agent_checkpoints")).toMatchObject({
      code: "SCHEMA_MISMATCH",
      message: expect.stringMatching(/agent_checkpoints .*tablePrefix$/),
    });
  });
});
