import type { Records, RecordWork, Step } from "@waymark/core/records";
import { createAdapter } from "../../src/adapter.ts";
import { acquire, type SharedConnection } from "../../src/connections.ts";
import type { UUID, WaymarkAdapter } from "../../src/index.ts";
import { checkOptions } from "../../src/options.ts";
import type { Bench } from "./bench.ts";

/** An adapter, and what it asks of its database. */
export class Recording {
  readonly adapter: WaymarkAdapter;
  /** Changes that were asked for, each all or nothing. */
  changes: (readonly Step[])[] = [];
  /** Reads, and steps of changes: each is a statement. */
  statements = 0;
  /** Is called when a change has taken place, before the adapter learns of it. */
  onChanged: () => void = () => {};

  constructor(bench: Bench, agentId: UUID) {
    const connection = this.#recorded(acquire(bench.place));
    this.adapter = bench.watched(createAdapter(connection, agentId, checkOptions(bench.options).adapter));
  }

  /** Makes a call, and returns the number of its statements. */
  async statementsOf(call: () => Promise<unknown>): Promise<number> {
    this.statements = 0;
    this.changes = [];
    await call();
    return this.statements;
  }

  #recorded(connection: SharedConnection): SharedConnection {
    const recorded = (records: Records) => this.#records(records);
    return Object.create(connection, {
      store: {
        value: async () => {
          const store = await connection.store();
          const run = (operation: string, work: RecordWork<unknown>) =>
            store.run(operation, (records, signal) => work(recorded(records), signal));
          return { run };
        },
      },
    });
  }

  #records(records: Records): Records {
    const count = <Result>(statements: number, result: Promise<Result>) => {
      this.statements += statements;
      return result;
    };
    return {
      find: (...given) => count(1, records.find(...given)),
      nearest: (...given) => count(1, records.nearest(...given)),
      count: (...given) => count(1, records.count(...given)),
      modify: (...given) => count(2, records.modify(...given)),
      change: (steps, signal) => {
        this.changes.push(steps);
        const changed = records.change(steps, signal).then((rows) => {
          this.onChanged();
          return rows;
        });
        return count(steps.length, changed);
      },
    };
  }
}
