import { randomBytes } from "node:crypto";
import { execute, isMysql } from "./client.ts";
import { killConnections } from "./server-faults.ts";

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  /** Ends every connection to the database, whatever it is doing, and drops it. */
  drop(): Promise<void>;
}

export interface DatabaseOptions {
  /**
   * Make a user too, named as the database, who may do everything in it and nothing elsewhere, and whom the URL names.
   * Read-only servers and limits leave administrators out. Default: `false`, the URL names the server's administrator.
   */
  readonly ownUser?: boolean;
}

/** Creates an empty database of a name that nobody else uses, with the server's defaults. */
export async function createDatabase(serverUrl: string, options: DatabaseOptions = {}): Promise<TestDatabase> {
  const { ownUser = false } = options;
  const name = `waymark_${randomBytes(6).toString("hex")}`;
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const onMysql = isMysql(serverUrl);
  // Letters of both cases and a digit, for a server that is particular about passwords.
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
        // An open transaction's lock on a table would make the drop wait for as long as the transaction lives.
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
