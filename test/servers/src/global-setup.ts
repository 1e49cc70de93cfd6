import type {} from "vitest"; // needed for the augmentation below
import type { TestProject } from "vitest/node";
import type { Origin, Server, ServerKind } from "./server.ts";
import { startServer } from "./start-server.ts";

/** A server that was started for the whole run, as test files get it with `inject("waymarkServers")`. */
export interface ProvidedServer {
  readonly url: string;
  readonly version: string;
  readonly origin: Origin;
}

declare module "vitest" {
  interface ProvidedContext {
    /** Kinds of servers that the project's tests need, set in the config under `test.provide`. Default: those without vectors. */
    waymarkServerKinds?: ServerKind[];
    /** Servers that the global setup has started. */
    waymarkServers: { readonly [kind in ServerKind]?: ProvidedServer };
  }
}

const DEFAULT_KINDS: readonly ServerKind[] = ["postgres", "mysql", "mariadb"];
const KINDS: readonly ServerKind[] = [...DEFAULT_KINDS, "postgres-vector", "mariadb-vector"];

/**
 * Starts the servers that the project's tests need, all at once, and stops them after the run: a `globalSetup` of vitest.
 * WAYMARK_TEST_SERVERS, as in "postgres,mariadb", narrows the choice; tests of the others should skip.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const needed = project.getProvidedContext().waymarkServerKinds ?? DEFAULT_KINDS;
  const chosen = chosenKinds(process.env["WAYMARK_TEST_SERVERS"]);
  const outcomes = await Promise.allSettled(
    needed.filter((kind) => chosen.includes(kind)).map((kind) => startServer(kind)),
  );

  const servers = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  if (failure) {
    await stop();
    throw failure.reason;
  }
  project.provide("waymarkServers", Object.fromEntries(servers.map(provided)));
  return stop;
}

function chosenKinds(list: string | undefined): readonly ServerKind[] {
  if (!list) return KINDS;
  return list.split(",").map((word) => {
    const kind = KINDS.find((known) => known === word.trim());
    if (!kind) throw new Error(`read WAYMARK_TEST_SERVERS: expected some of ${KINDS.join(",")}, got "${list}"`);
    return kind;
  });
}

function provided({ kind, url, version, origin }: Server): [ServerKind, ProvidedServer] {
  return [kind, { url, version, origin }];
}
