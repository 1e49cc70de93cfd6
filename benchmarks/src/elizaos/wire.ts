import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Counts of what clients have sent. */
export interface Traffic {
  /** Statements that the server was asked to run, but for those that begin and end transactions. */
  readonly statements: number;
  /** Times that a client has sent after it has received, on any of its connections. */
  readonly trips: number;
}

/** A TCP proxy that counts, without TLS. It reads the frames of the protocol alone, so it treats all drivers alike. */
export interface Wire {
  /** URL of the target, through the proxy. */
  readonly url: string;
  readonly traffic: Traffic;
  stop(): Promise<void>;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { "postgres:": 5432, "mysql:": 3306 };

export async function startWire(target: string): Promise<Wire> {
  const { protocol, hostname, port } = new URL(target);
  const reader = protocol === "mysql:" ? mysqlReader : postgresReader;
  const traffic = { statements: 0, trips: 0 };
  const sockets = new Set<Socket>();
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // handled by the "close" that follows
  };
  const server = createServer((client) => {
    const upstream = connect({ host: hostname, port: Number(port) || (DEFAULT_PORTS[protocol] as number) });
    for (const socket of [client, upstream]) track(socket);
    const read = reader();
    let isAnswered = true;
    client.on("data", (chunk: Buffer) => {
      if (isAnswered) traffic.trips += 1;
      isAnswered = false;
      traffic.statements += read(chunk);
      upstream.write(chunk);
    });
    upstream.on("data", (chunk: Buffer) => {
      isAnswered = true;
      client.write(chunk);
    });
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    get traffic() {
      return { ...traffic };
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Reads what a client sends on one connection, and returns the number of statements in each chunk. */
type Reader = (chunk: Buffer) => number;

/** Collects chunks until they hold a frame: `lengthOf` returns its length, or `undefined` if not even that is there. */
function frameReader(lengthOf: (bytes: Buffer) => number | undefined, statementsIn: (frame: Buffer) => number): Reader {
  let waiting: Buffer = Buffer.alloc(0);
  return (chunk) => {
    waiting = Buffer.concat([waiting, chunk]);
    let statements = 0;
    for (let length = lengthOf(waiting); length !== undefined && waiting.length >= length; length = lengthOf(waiting)) {
      statements += statementsIn(waiting.subarray(0, length));
      waiting = waiting.subarray(length);
    }
    return statements;
  };
}

/** Version 3.0 of the protocol, in the message that begins a session. It alone, and requests for encryption, have no type. */
const PROTOCOL = 196_608;

function postgresReader(): Reader {
  let hasBegun = false;
  /** Whether a statement that was prepared under a name counts; most have no name. */
  const counts = new Map<string, number>();
  let bound = 1;
  return frameReader(
    (bytes) => {
      const at = hasBegun ? 1 : 0;
      return bytes.length < at + 4 ? undefined : at + bytes.readInt32BE(at);
    },
    (frame) => {
      if (!hasBegun) {
        hasBegun = frame.length >= 8 && frame.readInt32BE(4) === PROTOCOL;
        return 0;
      }
      const type = String.fromCharCode(frame[0] as number);
      if (!"PBEQ".includes(type)) return 0;
      const [first = "", second = ""] = frame.toString("latin1", 5).split("\0", 2);
      if (type === "P") counts.set(first, countIn(second));
      if (type === "B") bound = counts.get(second) ?? 1;
      if (type === "E") return bound;
      return type === "Q" ? countIn(first) : 0;
    },
  );
}

const [COM_QUERY, COM_STMT_EXECUTE] = [0x03, 0x17];

function mysqlReader(): Reader {
  return frameReader(
    (bytes) => (bytes.length < 4 ? undefined : 4 + bytes.readUIntLE(0, 3)),
    (frame) => {
      // A command begins with packet 0; the others belong to the greeting, or go on with a command.
      if (frame[3] !== 0) return 0;
      if (frame[4] === COM_STMT_EXECUTE) return 1;
      return frame[4] === COM_QUERY ? countIn(frame.toString("latin1", 5)) : 0;
    },
  );
}

/**
 * 1, or 0 for the beginning or the end of a transaction. The drivers that are measured send no two statements at once; before the text of
 * one, MySQL may have the number of its attributes.
 */
function countIn(statement: string): number {
  return /^[\0-\x20]*(begin|start transaction|commit|rollback|set transaction)\b/i.test(statement) ? 0 : 1;
}
