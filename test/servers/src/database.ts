import { randomBytes } from "node:crypto";
import { execute } from "./client.ts";

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  /** Ends every connection to the database, whatever it is doing, and drops it. */
  drop(): Promise<void>;
}

/** Creates an empty database of a name that nobody else uses, with the server's defaults. */
export async function createDatabase(serverUrl: string): Promise<TestDatabase> {
  const name = `waymark_${randomBytes(6).toString("hex")}`;
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await execute(serverUrl, `create database ${name}`);
  return {
    name,
    url: url.href,
    async drop() {
      if (url.protocol !== "mysql:") {
        await execute(serverUrl, `drop database if exists ${name} with (force)`);
        return;
      }
      // An open transaction's lock on a table would make the drop wait for as long as the transaction lives.
      const threads = await execute(serverUrl, `select id from information_schema.processlist where db = '${name}'`);
      for (const thread of threads) {
        await execute(serverUrl, `kill ${Object.values(thread)[0]}`).catch((error) => {
          if (error.code !== "ER_NO_SUCH_THREAD") throw error; // it has just ended by itself
        });
      }
      await execute(serverUrl, `drop database if exists ${name}`);
    },
  };
}
