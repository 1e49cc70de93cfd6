import type { Place } from "../databases.ts";
import type { Context, Failure } from "../report.ts";
import type { System } from "../systems/system.ts";

/**
 * Measures all systems as often as asked: one after another, then all again, each time from another one on. So what drifts
 * on the machine meanwhile meets all of them. Each run has an empty database. A system that fails is left out from then on.
 */
export async function inTurns<T, S extends Pick<System, "id"> = System>(
  { systems, database, options, progress }: Omit<Context, "systems"> & { readonly systems: readonly S[] },
  failures: Failure[],
  title: string,
  run: (system: S, place: Place) => Promise<T>,
): Promise<Map<string, T[]>> {
  const runs = new Map<string, T[]>();
  const failed = new Set<S>();
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const [index] of systems.entries()) {
      const system = systems[(index + repetition) % systems.length] as S;
      if (failed.has(system)) continue;
      const place = await database.createPlace();
      try {
        await database.settle();
        globalThis.gc?.();
        const start = performance.now();
        const result = await run(system, place);
        runs.set(system.id, [...(runs.get(system.id) ?? []), result]);
        const seconds = ((performance.now() - start) / 1_000).toFixed(1);
        progress(`${title}, ${repetition + 1} of ${options.repetitions}: ${system.id} (${seconds} s)`);
      } catch (error) {
        failed.add(system);
        runs.delete(system.id);
        failures.push({ system: system.id, reason: `${title}: ${firstLine(error)}` });
        progress(`${title}: ${system.id} FAILED: ${error instanceof Error ? error.stack : error}`);
      } finally {
        await place.drop();
      }
    }
  }
  return runs;
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.split("\n")[0] ?? "";
}
