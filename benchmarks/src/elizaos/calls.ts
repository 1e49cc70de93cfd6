import { figure } from "../print.ts";
import type { Context, Failure, Table } from "../report.ts";
import { median, timed } from "../statistics.ts";
import { firstLine, inTurn, settled } from "./in-turn.ts";
import { openStage, type Stage } from "./stage.ts";
import type { ElizaSystem, Home } from "./system.ts";
import { startWire, type Wire } from "./wire.ts";

/** Time of calls, and the statements that a server gets of them. */

/** Medians. */
export interface CallFigures {
  readonly id: string;
  readonly call: string;
  readonly milliseconds: number;
  /** Milliseconds until nothing is left to do; `null`: it was done when the call was. */
  readonly untilIdle: number | null;
  /** `null`: there is no server. */
  readonly statements: number | null;
  readonly trips: number | null;
}

/** A call that is measured. */
export interface Call {
  readonly title: string;
  readonly samples: number;
  /** It leaves the agent something to do, which counts too. */
  readonly hasAftermath?: true;
  /** Prepares the call, and returns it. */
  begin(stage: Stage): Promise<() => Promise<unknown>>;
}

interface Opened extends Pick<ElizaSystem, "id"> {
  readonly stage: Stage;
  readonly home: Home;
  readonly wire: Wire | null;
}

interface Sample {
  readonly milliseconds: number;
  readonly untilIdle: number | null;
  readonly statements: number;
  readonly trips: number;
}

/** Measures calls in turns: first their time, then, through a proxy, what they send. */
export async function measureCalls(
  context: Context,
  systems: readonly ElizaSystem[],
  failures: Failure[],
  calls: readonly Call[],
): Promise<CallFigures[]> {
  const timedCalls = await perform(context, systems, failures, calls, false);
  const counted = await perform(context, systems, failures, calls, true);
  return systems
    .filter(({ id }) => failures.every(({ system }) => system !== id))
    .flatMap(({ id }) =>
      calls.map(({ title }): CallFigures => {
        const [times, counts] = [timedCalls, counted].map((samples) => samples.get(`${id} ${title}`) ?? []);
        const of = (samples: Sample[] = [], name: keyof Sample) =>
          median(samples.map((one) => one[name] ?? Number.NaN));
        const count = (name: "statements" | "trips") => (counts?.length === 0 ? null : of(counts, name));
        const untilIdle = of(times, "untilIdle");
        return {
          ...{ id, call: title, milliseconds: of(times, "milliseconds"), statements: count("statements") },
          ...{ trips: count("trips"), untilIdle: Number.isNaN(untilIdle) ? null : untilIdle },
        };
      }),
    );
}

/** Makes each call as often as asked, once more before; returns the samples by system and call. */
async function perform(
  context: Context,
  systems: readonly ElizaSystem[],
  failures: Failure[],
  calls: readonly Call[],
  isCounted: boolean,
): Promise<Map<string, Sample[]>> {
  const all: Opened[] = [];
  const noted = new Map<string, Sample[]>();
  try {
    await inTurn(systems, 0, failures, async (system) => {
      const opened = await openOn(context, system, isCounted);
      if (opened !== null) all.push(opened);
    });
    await settled(context);
    for (const { title, samples, begin, hasAftermath } of calls) {
      for (let sample = -1; sample < samples; sample++) {
        await inTurn(all, sample + 1, failures, async ({ id, stage, wire }) => {
          const call = await begin(stage);
          if (hasAftermath) await stage.untilIdle();
          const before = wire?.traffic ?? NONE;
          const start = performance.now();
          const [milliseconds] = await timed(call);
          const untilIdle = hasAftermath ? Math.max(milliseconds, (await stage.untilIdle()) - start) : null;
          const after = wire?.traffic ?? NONE;
          const [statements, trips] = [after.statements - before.statements, after.trips - before.trips];
          if (sample < 0) return;
          const key = `${id} ${title}`;
          noted.set(key, [...(noted.get(key) ?? []), { milliseconds, untilIdle, statements, trips }]);
        });
      }
      context.progress(`${isCounted ? "counted" : "timed"}: ${title}`);
    }
    return noted;
  } finally {
    for (const { stage, home, wire } of all) {
      await stage.close().catch(() => {}); // it has failed
      await wire?.stop();
      await home.drop();
    }
  }
}

const NONE = { statements: 0, trips: 0 };

/** `null`: it has no server whose statements could be counted. */
async function openOn({ database }: Context, system: ElizaSystem, isCounted: boolean): Promise<Opened | null> {
  const home = await system.createHome(database);
  const { url } = home.target;
  let wire: Wire | null = null;
  try {
    if (isCounted) {
      if (url === undefined || url.startsWith("sqlite:")) {
        await home.drop();
        return null;
      }
      wire = await startWire(url);
    }
    const stage = await openStage(system, wire === null ? home.target : { ...home.target, url: wire.url });
    return { id: system.id, stage, home, wire };
  } catch (error) {
    await wire?.stop();
    await home.drop();
    throw new Error(firstLine(error), { cause: error });
  }
}

/** A row for each call, a column for each system. Of calls that are counted, the counts too. */
export function tablesOfCalls(
  title: string,
  calls: readonly Call[],
  figures: readonly CallFigures[],
  systems: readonly ElizaSystem[],
): Table[] {
  const of = (id: string | undefined, { title: call }: Call) =>
    figures.find((one) => one.id === id && one.call === call);
  const time = ({ id, peer }: ElizaSystem, call: Call) => {
    const [own, other] = [of(id, call), of(peer, call)];
    if (own === undefined) return "–";
    const idle = own.untilIdle === null ? "" : `; ${figure(own.untilIdle)} until idle`;
    const ratio = other === undefined ? "" : ` (${figure(own.milliseconds / other.milliseconds)})`;
    return `${figure(own.milliseconds)}${ratio}${idle}`;
  };
  const counts = ({ id }: ElizaSystem, call: Call) => {
    const { statements, trips } = of(id, call) ?? {};
    return `${figure(statements ?? Number.NaN)} (${figure(trips ?? Number.NaN)})`;
  };
  const table = (what: string, measured: readonly ElizaSystem[], cell: typeof time): Table => ({
    title: `${title}: ${what}`,
    head: ["call", ...measured.map((system) => system.title)],
    rows: calls.map((call) => [call.title, ...measured.map((system) => cell(system, call))]),
  });
  const measured = systems.filter(({ id }) => figures.some((one) => one.id === id));
  const counted = measured.filter(({ id }) => figures.some((one) => one.id === id && one.statements !== null));
  return [
    table("p50, ms (relative to plugin-sql's)", measured, time),
    ...(counted.length === 0
      ? []
      : [
          table(
            "statements that the server gets, without those that begin and end transactions (round trips, with them)",
            counted,
            counts,
          ),
        ]),
  ];
}
