import { type Engine, readVersion } from "../engines/engine.ts";
import type { Absent, Request, Server, ServerKind } from "../server.ts";
import { unkillable } from "./unkillable.ts";

/** Name of the environment variable with the URL of a server of this kind, as in WAYMARK_TEST_POSTGRES_VECTOR_URL. */
export function urlVariable({ kind }: { readonly kind: ServerKind }): string {
  return `WAYMARK_TEST_${kind.toUpperCase().replace("-", "_")}_URL`;
}

/** Connects to a running server. */
export async function fromUrl(engine: Engine, { env }: Request): Promise<Server | Absent> {
  const variable = urlVariable(engine);
  const url = env[variable];
  if (!url) return { absent: `${variable} is not set` };
  const version = await readVersion(url, engine).catch((cause) => {
    throw new Error(`connect to ${variable}: ${cause.message || cause.code}`, { cause });
  });
  return { ...unkillable(engine, "url"), version, url, async stop() {} };
}
