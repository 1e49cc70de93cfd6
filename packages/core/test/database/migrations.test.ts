import { describe, expect, test } from "vitest";
import type { CheckpointError } from "../../src/contract/errors.ts";
import {
  type AppliedMigration,
  createdTables,
  foreignObject,
  type Migration,
  mayNotMigrate,
  migrationDigest,
  missingMigrations,
  schemaOutdated,
  takenName,
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

describe("the missing migrations of a database", () => {
  test("are all if it is empty, and none if it is up to date", () => {
    expect(missingMigrations([first, second], [])).toEqual([first, second]);
    expect(missingMigrations([first, second], [applied(second), applied(first)])).toEqual([]);
  });

  test("include one in the middle, since sets are compared", () => {
    expect(missingMigrations([first, second, third], [applied(first), applied(third)])).toEqual([second]);
  });

  test("accept one of a newer package that this package can work with", () => {
    const additive = { name: "0002_more", digest: "?", minimumReader: 2 };
    expect(missingMigrations([first, second], [applied(first), additive])).toEqual([second]);
  });

  test("are refused if one of a newer package needs a newer reader", () => {
    const error = errorOf(() => missingMigrations([first, second], [applied(first), applied(second), applied(third)]));
    expect(error).toMatchObject({ code: "SCHEMA_TOO_NEW", retryable: false });
    expect(error?.message).toContain(
      "its migration 0002_third needs a package with schema version 3 or later, this one has 2",
    );
  });

  test("are refused if an applied one of the same name has other statements", () => {
    const error = errorOf(() => missingMigrations([first], [{ ...applied(first), digest: migrationDigest(second) }]));
    expect(error).toMatchObject({ code: "SCHEMA_MISMATCH", message: expect.stringContaining("0000_first") });
  });

  test("are compared by a digest of their statements", () => {
    const joined = { ...first, statements: [first.statements.join("")] };
    expect(migrationDigest(joined)).not.toBe(migrationDigest(first));
    expect(migrationDigest({ ...first, name: "other", minimumReader: 9 })).toBe(migrationDigest(first));
    expect(migrationDigest(first)).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("the error for a schema", () => {
  test("that is outdated has the missing migrations and the statements to run", () => {
    const error = schemaOutdated([first, second], ["CREATE 1", "CREATE 2"]);
    expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", retryable: false, sql: ["CREATE 1", "CREATE 2"] });
    expect(error.message).toContain("its schema lacks 0000_first, 0001_second");
  });

  test("that is not ours names the table and says what to do", () => {
    expect(foreignObject("agent_checkpoints")).toMatchObject({
      code: "SCHEMA_MISMATCH",
      message: expect.stringMatching(/agent_checkpoints .*tablePrefix$/),
    });
  });

  test("that has a name of ours taken says which: the database's words have it, and longer names count first", () => {
    const statement = "CREATE TABLE `t` (\n\t`id` int,\n\tCONSTRAINT `t_pk` PRIMARY KEY(`id`)\n)";
    expect(takenName(statement, new Error('relation "t_pk" already exists'))).toBe("t_pk");
    expect(takenName(statement, new Error("Relation »t« existiert bereits"))).toBe("t");
    expect(takenName(statement, new Error("ein Name ist vergeben"))).toBe("t");
    expect(createdTables([{ ...first, statements: [statement, "CREATE INDEX `i` ON `t` (`id`)"] }])).toEqual([
      { name: "t", columns: ["id"] },
    ]);
  });

  test("that the user may not create says how to go on", () => {
    const error = mayNotMigrate([first], Object.assign(new Error("secret"), { code: "42501" }));
    expect(error).toMatchObject({ code: "ACCESS_DENIED", retryable: false, cause: { code: "42501" } });
    expect(error.message).toMatch(/0000_first.*migrate: "verify"$/);
  });
});
