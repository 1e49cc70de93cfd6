import type { Place } from "../databases.ts";
import type { Context, Failure } from "../report.ts";
import type { System } from "../systems/system.ts";

/**
 * Measures all systems as often as asked: one after another, then all again, each time from another one on. So a machine that
 * becomes slower or faster meanwhile does so for all of them. Each run has an empty database. A system that fails is left out
 * from then on.
 */
export async function inTurns<T, S extends Pick<System, "id" | "twinOf"> = System>(
  { systems, database, options, progress }: Omit<Context, "systems"> & { readonly systems: readonly S[] },
  failures: Failure[],
  title: string,
  run: (system: S, place: Place) => Promise<T>,
): Promise<Map<string, T[]>> {
  const runs = new Map<string, T[]>();
  const failed = new Set<S>();
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const system of inOrder(systems, repetition)) {
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

/**
 * The systems of one repetition. Twins stay side by side. Where there are some, each order comes twice, the second time with the
 * twins in each other's place, so that in an even number of repetitions both have had the same neighbours.
 */
function inOrder<S extends Pick<System, "id" | "twinOf">>(systems: readonly S[], repetition: number): S[] {
  const own = systems.filter(({ twinOf }) => twinOf === undefined);
  const first = own.length < systems.length ? repetition >> 1 : repetition;
  const rotated = own.map((_, index) => own[(index + first) % own.length] as S);
  return rotated.flatMap((system) => {
    const twins = systems.filter(({ twinOf }) => twinOf === system.id);
    return repetition % 2 === 0 ? [system, ...twins] : [...twins, system];
  });
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.split("\n")[0] ?? "";
}
