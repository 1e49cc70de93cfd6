import { access, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execute } from "./client.ts";
import { type Command, createEnclosure, type Enclosure } from "./enclosure.ts";
import { mariadb } from "./engines/mariadb.ts";
import { fetchProgram } from "./fetch.ts";
import { serveIn, withArgs } from "./own-server.ts";
import { findFreePort } from "./ports.ts";
import { findProgram, type Program, type ProgramSpec } from "./programs.ts";
import { type Absent, killable, type Origin, type Server } from "./server.ts";

export interface GaleraCluster {
  /**
   * Nodes, each of which can be killed, started, paused and stopped by itself. `start` waits until the node takes writes. After a
   * loss of the majority, start all killed nodes at the same time, since none is ready before the others.
   */
  readonly nodes: readonly Server[];
  /** Stops all nodes and removes their data. */
  stop(): Promise<void>;
}

export interface GaleraOptions {
  /** Number of nodes. Default: 3. */
  readonly nodes?: number;
  /** Allowed origins, of those in `killable`. They are tried in the order of `killable`. Default: both. */
  readonly from?: readonly Origin[];
  /** Environment. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Ports of a node besides the one for clients: one for the group, and two to receive data that it missed. */
interface Ports {
  readonly group: number;
  readonly increments: number;
  readonly state: number;
}

const CLUSTERS_TO_TRY = 3;

const spec: ProgramSpec = {
  ...mariadb.program,
  archive: {
    debian: { suite: "own", package: "mariadb-server" },
    ubuntu: { suite: "own", package: "mariadb-server" },
  },
};

/**
 * Starts a Galera cluster of MariaDB with this machine's programs, else with those of the distribution's archive, and waits until
 * every node takes writes. A node that does not answer is expelled after one to three seconds.
 */
export async function startGalera(options: GaleraOptions = {}): Promise<GaleraCluster> {
  const { nodes = 3, from = killable, env = process.env } = options;
  const reasons: string[] = [];
  for (const origin of killable) {
    if (!from.includes(origin)) continue;
    const program =
      origin === "program" ? await findInstalled(env) : await requireGalera(await fetchProgram(spec, env));
    if (!("absent" in program)) return startSomewhere(program, origin, nodes, CLUSTERS_TO_TRY);
    reasons.push(`  ${origin}: ${program.absent}`);
  }
  throw new Error(
    "start Galera: expected the packages mariadb-server, galera-4 and rsync on this machine or in the archive of its " +
      `distribution, found neither:\n${reasons.join("\n")}`,
  );
}

async function findInstalled(env: NodeJS.ProcessEnv): Promise<Program | Absent> {
  if (process.platform !== "linux") return { absent: "servers of this package run only on Linux" };
  const program = await findProgram(spec, "/", env["PATH"]);
  return program ? requireGalera(program) : { absent: `no ${spec.name} of MariaDB in /${spec.folder} or on the PATH` };
}

const library = (root: string) => join(root, "usr/lib/galera/libgalera_smm.so");

/** Checks that the files of Galera are there too: MariaDB is often installed without them. */
async function requireGalera(program: Program | Absent): Promise<Program | Absent> {
  if ("absent" in program) return program;
  for (const file of [library(program.root), ...["wsrep_sst_rsync", "rsync"].map((name) => tool(program.root, name))]) {
    try {
      await access(file);
    } catch {
      return { absent: `no ${file}` };
    }
  }
  return program;
}

const tool = (root: string, name: string) => join(root, "usr/bin", name);

/**
 * Starts the nodes on free ports.
 * @param tries number of attempts, since other programs may take a port before the node does
 */
async function startSomewhere(program: Program, origin: Origin, count: number, tries: number): Promise<GaleraCluster> {
  const ports: Ports[] = [];
  for (let node = 0; node < count; node++) {
    ports.push({ group: await findFreePort(), increments: await findFreePort(), state: await findFreePort() });
  }
  const nodes: Server[] = [];
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())));
  try {
    // One after the other: each copies its data from an earlier one.
    for (const own of ports) nodes.push(await startNode(program, origin, own, ports));
    return { nodes, stop };
  } catch (error) {
    await stop();
    const isTaken = error instanceof Error && /address already in use/i.test(error.message);
    if (!isTaken || tries === 1) throw error;
    return startSomewhere(program, origin, count, tries - 1);
  }
}

async function startNode(program: Program, origin: Origin, own: Ports, all: readonly Ports[]): Promise<Server> {
  const enclosure = await createEnclosure("galera", mariadb.cleanUp);
  try {
    const dataFolder = join(enclosure.folder, "data");
    const isFirst = own === all[0];
    await enclosure.run({ program: "mkdir", args: ["-m", "700", dataFolder] });
    if (isFirst) await enclosure.run(await mariadb.initialise(program, dataFolder));

    let starts = 0;
    return await serveIn(enclosure, {
      engine: { ...mariadb, title: "a Galera node" },
      program,
      origin,
      async command(_, port) {
        // In a file, since the scripts that copy a node's data read the settings there.
        const file = join(enclosure.folder, "galera.cnf");
        await writeFile(file, configuration(program, port, own, all), { mode: 0o644 });
        const [, ...args] = mariadb.serve(program, dataFolder, port).args; // without --no-defaults
        const root = program.root === "/" ? [] : ["usr/bin", "usr/sbin"].map((name) => join(program.root, name));
        const command = { program: program.path, args: [`--defaults-file=${file}`, ...args], searchFirst: root };
        starts += 1;
        if (starts === 1) return isFirst ? withArgs(command, ["--wsrep-new-cluster"]) : command;
        return withArgs(command, await recoverPosition(enclosure, command));
      },
      async expectReady(url) {
        const [row] = await execute(url, "show status where variable_name = 'wsrep_local_state_comment'");
        const ready = await execute(url, "show status where variable_name = 'wsrep_ready' and value = 'ON'");
        const state = String(row?.["Value"]);
        if (state !== "Synced" || ready.length === 0) throw new Error(`expected the node to be Synced, it is ${state}`);
      },
    });
  } catch (error) {
    await enclosure.remove();
    throw error;
  }
}

/**
 * Returns an argument with the position of the node's last transaction. After a kill only InnoDB knows it. Without it, the node
 * would be sent all data, not only what it missed.
 */
async function recoverPosition(enclosure: Enclosure, command: Command): Promise<string[]> {
  const log = join(enclosure.folder, "recover.log");
  await rm(log, { force: true });
  // It fails if the data is incomplete, as after a kill while it was being sent; then all data is sent again.
  await enclosure.run(withArgs(command, ["--wsrep-recover", `--log-error=${log}`])).catch(() => {});
  const text = await readFile(log, "utf8").catch(() => "");
  const found = /WSREP: Recovered position: *([0-9a-f-]+:-?\d+)/.exec(text)?.[1];
  return found ? [`--wsrep-start-position=${found}`] : [];
}

function configuration(program: Program, port: number, own: Ports, all: readonly Ports[]): string {
  const at = (place: number) => `127.0.0.1:${place}`;
  const provider = {
    base_host: "127.0.0.1",
    base_port: own.group,
    "gmcast.listen_addr": `tcp://${at(own.group)}`,
    "ist.recv_addr": `tcp://${at(own.increments)}`,
    "gcache.size": "32M",
    // A killed node is expelled soon; by default that takes 5 to 15 seconds.
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.3S",
    "evs.suspect_timeout": "PT1S",
    "evs.inactive_timeout": "PT3S",
    "evs.install_timeout": "PT3S",
    "pc.announce_timeout": "PT1S",
  };
  const options = Object.entries(provider).map(([name, value]) => `${name}=${value}`);
  return `
[mysqld]
binlog_format=ROW
default_storage_engine=InnoDB
innodb_autoinc_lock_mode=2
wsrep_on=ON
wsrep_provider=${library(program.root)}
wsrep_provider_options="${options.join(";")}"
wsrep_cluster_name=waymark-${all[0]?.group}
wsrep_cluster_address=gcomm://${all.map(({ group }) => at(group)).join(",")}
wsrep_node_name=node-${own.group}
wsrep_node_address=${at(own.group)}
wsrep_node_incoming_address=${at(port)}
wsrep_sst_method=rsync
wsrep_sst_receive_address=${at(own.state)}
wsrep_slave_threads=2
`;
}
