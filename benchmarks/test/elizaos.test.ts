import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { CallFigures } from "../src/elizaos/calls.ts";
import type { SearchFigures } from "../src/elizaos/search.ts";
import type { SizeFigures } from "../src/elizaos/sizes.ts";
import type { StartResults } from "../src/elizaos/start.ts";
import { startWire } from "../src/elizaos/wire.ts";
import { parseOptions } from "../src/options.ts";
import { measure } from "../src/run.ts";

interface Results {
  readonly starts: StartResults;
  readonly sizes: readonly SizeFigures[];
  readonly calls: readonly CallFigures[];
  readonly searches: readonly SearchFigures[];
}

describe("the benchmark of ElizaOS on SQLite", () => {
  it("starts agents, answers messages, and finds the nearest of an agent's memories", async () => {
    const chosen = ["--database", "sqlite-full", "--systems", "waymark", "--items", "60"];
    const options = parseOptions(["--quick", "--workload", "elizaos", ...chosen], "");
    if (options === "help") throw new Error("expected options, got help");
    const results: Results[] = [];
    for await (const { report } of measure(options, () => {})) {
      expect(report.failures).toEqual([]);
      results.push(report.results as Results);
    }
    const [{ starts, sizes, calls, searches }] = results as [Results];
    expect(starts.starts.map(({ isFirst }) => isFirst)).toEqual([true, false]);
    for (const { figures } of starts.starts) expect(figures.total).toBeGreaterThan(figures.initialize);
    expect(sizes.every(({ itself, installed }) => itself > 0 && installed > itself)).toBe(true);
    for (const { call, milliseconds, statements } of calls) {
      expect(milliseconds, call).toBeGreaterThan(0);
      expect(statements, call).toBeNull();
    }
    expect(searches).toMatchObject([{ id: "waymark", size: 60 }]);
    for (const { scopes } of searches) expect([scopes.agent.recall, scopes.room.recall]).toEqual([1, 1]);
  });
});

describe("the count of statements", () => {
  const frame = (type: string, ...texts: readonly string[]) => {
    const body = Buffer.from(texts.map((text) => `${text}\0`).join(""));
    const length = Buffer.alloc(4);
    length.writeInt32BE(4 + body.length);
    return Buffer.concat([Buffer.from(type), length, body]);
  };
  const session = Buffer.from([0, 0, 0, 8, 0, 3, 0, 0]);
  const packet = (sequence: number, ...body: readonly number[]) => Buffer.from([body.length, 0, 0, sequence, ...body]);
  const commit = [...Buffer.from("commit")];

  it.each([
    [
      "PostgreSQL",
      "postgres",
      [
        ...[session, frame("Q", "begin")],
        ...[frame("P", "", "select 1"), frame("B", "", ""), frame("E", ""), frame("S")],
        ...[frame("P", "named", "commit"), frame("B", "", "named"), frame("E", ""), frame("S"), frame("Q", "select 2")],
      ],
    ],
    [
      "MySQL",
      "mysql",
      [packet(1, 3, 3), packet(0, 3, 0, 1, ...commit), packet(0, 3, ...Buffer.from("select 1")), packet(0, 0x17, 1)],
    ],
  ])("leaves out the ends of transactions on %s, however the bytes arrive", async (_, protocol, frames) => {
    const received: Buffer[] = [];
    const server = createServer((socket) => socket.on("data", (chunk: Buffer) => received.push(chunk)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const wire = await startWire(`${protocol}://127.0.0.1:${(server.address() as AddressInfo).port}/database`);
    const bytes = Buffer.concat(frames);
    const client = connect(Number(new URL(wire.url).port), "127.0.0.1");
    client.setNoDelay(true);
    for (const byte of bytes) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    while (Buffer.concat(received).length < bytes.length) await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.concat(received)).toEqual(bytes);
    expect(wire.traffic).toEqual({ statements: 2, trips: 1 });
    client.destroy();
    await wire.stop();
    server.close();
  });
});
