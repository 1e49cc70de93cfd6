import type { Context, Failure } from "../report.ts";

/** Runs `work` for all that have not failed, one after another, each time beginning with another one. */
export async function inTurn<S extends { readonly id: string }>(
  systems: readonly S[],
  turn: number,
  failures: Failure[],
  work: (system: S) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < systems.length; at++) {
    const system = systems[(at + turn) % systems.length] as S;
    if (failures.some((failure) => failure.system === system.id)) continue;
    try {
      await work(system);
    } catch (error) {
      failures.push({ system: system.id, reason: firstLine(error) });
    }
  }
}

export function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

/** Leaves the next measurement nothing to do that is not its own. */
export async function settled({ database }: Context): Promise<void> {
  await database.settle();
  globalThis.gc?.();
}
