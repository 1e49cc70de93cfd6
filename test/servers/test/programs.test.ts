import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { mariadb } from "../src/engines/mariadb.ts";
import { mariadbVector } from "../src/engines/mariadb-vector.ts";
import { mysql } from "../src/engines/mysql.ts";
import { postgres } from "../src/engines/postgres.ts";
import { postgresVector } from "../src/engines/postgres-vector.ts";
import { findProgram } from "../src/programs.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "waymark-programs-"));
  await chmod(root, 0o755);
});
afterEach(() => rm(root, { recursive: true }));

async function install(path: string, version: string): Promise<string> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 });
  return file;
}

const MARIADB = "mysqld  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)";
const MYSQL = "/usr/sbin/mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))";

it("does not take MariaDB's alias mysqld for MySQL", async () => {
  await install("usr/sbin/mysqld", MARIADB);
  expect(await findProgram(mysql.program, root)).toBeUndefined();
  const path = await install("usr/sbin/mariadbd", MARIADB);
  expect(await findProgram(mariadb.program, root)).toEqual({ path, version: "10.11.19", root });
});

it("also looks in the search path", async () => {
  await install("usr/sbin/mysqld", MARIADB);
  const path = await install("opt/mysql/bin/mysqld", MYSQL);
  const searchPath = `${join(root, "nowhere")}:${join(root, "opt/mysql/bin")}`;
  expect(await findProgram(mysql.program, root, searchPath)).toEqual({ path, version: "8.0.36", root });
});

it("prefers the newest PostgreSQL", async () => {
  await install("usr/lib/postgresql/9.6/bin/postgres", "postgres (PostgreSQL) 9.6.24");
  const path = await install("usr/lib/postgresql/17/bin/postgres", "postgres (PostgreSQL) 17.2 (Debian 17.2-1)");
  await install("usr/lib/postgresql/15/bin/postgres", "postgres (PostgreSQL) 15.20");
  expect(await findProgram(postgres.program, root)).toEqual({ path, version: "17.2", root });
});

it("takes only a PostgreSQL with pgvector if vectors are needed", async () => {
  await install("usr/lib/postgresql/18/bin/postgres", "postgres (PostgreSQL) 18.1");
  expect(await findProgram(postgresVector.program, root)).toBeUndefined();
  const path = await install("usr/lib/postgresql/17/bin/postgres", "postgres (PostgreSQL) 17.6");
  await install("usr/share/postgresql/17/extension/vector.control", "");
  expect(await findProgram(postgresVector.program, root)).toEqual({ path, version: "17.6", root });
});

it("takes only MariaDB 11.7 or later if vectors are needed", async () => {
  for (const version of ["10.11.19", "11.4.8", "11.6.2"]) {
    await install("usr/sbin/mariadbd", `mariadbd  Ver ${version}-MariaDB for Linux`);
    expect(await findProgram(mariadbVector.program, root)).toBeUndefined();
  }
  for (const version of ["11.7.1", "11.8.3", "11.10.1", "12.3.2"]) {
    const path = await install("usr/sbin/mariadbd", `mariadbd  Ver ${version}-MariaDB for Linux`);
    expect(await findProgram(mariadbVector.program, root)).toEqual({ path, version, root });
  }
});

it("ignores a file that cannot be run", async () => {
  await chmod(await install("usr/sbin/mariadbd", MARIADB), 0o644);
  expect(await findProgram(mariadb.program, root)).toBeUndefined();
});
