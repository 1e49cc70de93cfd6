import { randomBytes } from "node:crypto";
import { execute, isMysql } from "./client.ts";
import { killConnections } from "./server-faults.ts";

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  /** Drops the database, after ending all connections to it. */
  drop(): Promise<void>;
}

export interface DatabaseOptions {
  /**
   * Creates a user too, with the database's name and all rights in it, but none elsewhere, and the URL names this user. Read-only
   * mode and connection limits do not apply to administrators. Default: `false`, the URL names the server's administrator.
   */
  readonly ownUser?: boolean;
}

/** Creates an empty database with a unique name and the server's defaults. */
export async function createDatabase(serverUrl: string, options: DatabaseOptions = {}): Promise<TestDatabase> {
  const { ownUser = false } = options;
  const name = `waymark_${randomBytes(6).toString("hex")}`;
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const onMysql = isMysql(serverUrl);
  // With letters of both cases and a digit, as some servers require of passwords.
  const password = `Wm1${randomBytes(12).toString("hex")}`;
  if (ownUser) {
    url.username = name;
    url.password = password;
  }

  if (ownUser && !onMysql) await execute(serverUrl, `create role ${name} login password '${password}'`);
  await execute(serverUrl, `create database ${name}${ownUser && !onMysql ? ` owner ${name}` : ""}`);
  if (ownUser && onMysql) {
    await execute(serverUrl, `create user ${name} identified by '${password}'`);
    await execute(serverUrl, `grant all on ${name}.* to ${name}`);
  }
  return {
    name,
    url: url.href,
    async drop() {
      if (onMysql) {
        // Otherwise the drop would wait for the table locks of open transactions.
        await killConnections(serverUrl, name);
        await execute(serverUrl, `drop database if exists ${name}`);
        if (ownUser) await execute(serverUrl, `drop user if exists ${name}`);
      } else {
        await execute(serverUrl, `drop database if exists ${name} with (force)`);
        if (ownUser) await execute(serverUrl, `drop role if exists ${name}`);
      }
    },
  };
}
