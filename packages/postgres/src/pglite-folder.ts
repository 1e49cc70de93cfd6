import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CheckpointError } from "@waymark/core";
import { keepWords, property, Shared, type SharedUse, withoutValues } from "@waymark/core/kit";
import type { Sql } from "postgres";
import { isLock, lockFolder } from "./folder-lock.ts";
import { clientOn, loadForms, type Pglite } from "./pglite.ts";

/** PGlite in a folder: one for all storages of this process, and no other process beside it. */

export interface PgliteFolder {
  /** Returns the client. PGlite is opened again if it has ended. @throws CheckpointError `UNAVAILABLE` if the folder is gone */
  client(): Promise<Sql>;
  pglite(): Promise<Pglite>;
  /** Returns whether the database was created; once. */
  takeIsNew(): boolean;
}

/** The database is nobody else's to read. */
const FOLDER_MODE = 0o700;

/** File in a folder while the database is created in it. */
const UNFINISHED = "waymark-unfinished";

/** Databases by the real path of their folder. */
const folders = new Map<string, Shared<OpenFolder>>();

/** Adds a user to the database of a folder, which is created if it is missing: opened at the first use, closed with the last user. */
export async function shareFolder(path: string): Promise<SharedUse<PgliteFolder>> {
  await loadPackage(); // without it nothing is created
  const folder = createFolder(path);
  const existing = folders.get(folder);
  if (existing !== undefined) return existing.share();
  // Not aborted by the deadline of those who wait for it: a database that is open in the end is there for the next call.
  const shared = new Shared(
    () => openFolder(folder).catch((error) => Promise.reject(keepWords(error))), // no statement has had a value yet
    (open) => open.close(),
  );
  folders.set(folder, shared);
  return shared.share();
}

/** Makes an in-memory database. */
export async function openInMemory(): Promise<{ pglite: Pglite; client: Sql; close(): Promise<void> }> {
  const { PGlite } = await loadPackage();
  const extensions = await loadExtensions();
  const pglite = await PGlite.create({ dataDir: "memory://", extensions, ...(await loadForms()) });
  return { pglite, client: clientOn(pglite, { forms: null }), close: () => pglite.close() };
}

interface OpenFolder extends PgliteFolder {
  close(): Promise<void>;
}

async function openFolder(folder: string): Promise<OpenFolder> {
  const loaded = await loadPackage();
  const lock = await lockFolder(folder);
  try {
    let isNew = await createDatabase(folder, loaded);
    let current: Promise<Running> | null = start();
    await current;

    function start(): Promise<Running> {
      const starting = startDatabase(folder, loaded, () => {
        if (current === starting) current = null;
      });
      starting.catch(() => {
        if (current === starting) current = null;
      });
      return starting;
    }

    async function running(): Promise<Running> {
      if (!lock.isThere()) {
        const message = `the folder ${folder} was deleted or replaced while it was open: restart the process`;
        throw new CheckpointError("UNAVAILABLE", message);
      }
      current ??= start();
      return await current;
    }

    return {
      client: async () => (await running()).client,
      pglite: async () => (await running()).pglite,
      takeIsNew() {
        const wasNew = isNew;
        isNew = false;
        return wasNew;
      },
      async close() {
        const last = await current?.catch(() => null);
        try {
          await last?.pglite.close();
        } finally {
          lock.release();
        }
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface Running {
  readonly client: Sql;
  readonly pglite: Pglite;
}

/** Parameters of PGlite that this package replaces: `-F` turns fsync off, so that a power cut may destroy the database. */
const START_PARAMETERS = [
  "-c",
  "wal_sync_method=fsync", // fdatasync does nothing in PGlite (0.5.17)
  "-c",
  "log_startup_progress_interval=0", // its timer would keep the process alive after a failure
];

async function startDatabase(folder: string, { PGlite, NodeFS }: Loaded, onEnd: () => void): Promise<Running> {
  const forms = await loadForms();
  const fs = new NodeFS(folder);
  addFsync(fs);
  const log: string[] = [];
  const startParams = [...PGlite.defaultStartParams.filter((word) => word !== "-F"), ...START_PARAMETERS];
  const toLog = (line: string) => void log.push(line);
  try {
    const extensions = await loadExtensions();
    const pglite = await PGlite.create({ fs, startParams, extensions, onStdout: toLog, onStderr: toLog, ...forms });
    const client = clientOn(pglite, {
      forms: null,
      onEnd() {
        onEnd();
        closeFiles(fs);
      },
    });
    return { pglite, client };
  } catch (error) {
    closeFiles(fs);
    throw startError(folder, log, error);
  } finally {
    log.length = 0;
  }
}

/** Makes an error with the words of the log, which holds nothing of a user's: no statement of ours has run. */
function startError(folder: string, log: readonly string[], error: unknown): CheckpointError {
  const lines = log.filter((line) => /\b(?:FATAL|PANIC|DETAIL): /.test(line));
  const words = lines.map((line) => line.replace(/^.*?\b(?:FATAL|PANIC|DETAIL): +/, "")).join(" ");
  const code = /No space left on device/.test(words) ? "STORAGE_FULL" : "DATABASE_ERROR";
  const message = `open database: PGlite cannot open ${folder}${words === "" ? "" : `: ${words}`}`;
  return new CheckpointError(code, message, { cause: withoutValues(keepWords(error)) });
}

/**
 * Creates the database in a folder without one. `false`: there is one. A process that dies meanwhile leaves a part of the files,
 * which PGlite would take for a database: the next one begins anew.
 */
async function createDatabase(folder: string, { PGlite }: Loaded): Promise<boolean> {
  const unfinished = join(folder, UNFINISHED);
  const isUnfinished = existsSync(unfinished);
  if (!isUnfinished && existsSync(join(folder, "PG_VERSION"))) return false;
  const files = readdirSync(folder).filter((name) => !isLock(name) && name !== "lost+found" && !name.startsWith("."));
  if (!isUnfinished && files.length > 0) {
    const message = `expected options.pgliteDataDir to be an empty folder, or one of PGlite, got ${folder} with other files`;
    throw new CheckpointError("INVALID_CONFIG", `open database: ${message}`);
  }
  for (const name of files.filter((name) => name !== UNFINISHED)) {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
  keepPrivate(folder);
  writeFileSync(unfinished, "");
  // Not with the file system below: up to 0.5.14 PGlite would use it for a scratch database too.
  const pglite = await PGlite.create({ dataDir: folder });
  await pglite.close();
  syncFolder(folder);
  rmSync(unfinished);
  sync(folder);
  return true;
}

/** PGlite's files may be read and written by everybody who reaches them. */
function keepPrivate(folder: string): void {
  try {
    chmodSync(folder, FOLDER_MODE);
  } catch {
    // It belongs to another user, who has let this one write in it.
  }
}

/** A stream of Emscripten's file system in folders of Node. */
interface NodeStream {
  readonly nfd?: number;
  readonly node: unknown;
}

interface NodeFiles {
  readonly stream_ops: { fsync?(stream: NodeStream): number };
  realPath(node: unknown): string;
}

interface WasmModule {
  readonly NODEFS?: NodeFiles;
  /** Before 0.5.15. */
  readonly FS: { readonly filesystems?: { readonly NODEFS: NodeFiles } };
}

interface FileSystem {
  closeFs(): Promise<void>;
  init(pglite: unknown, options: object): Promise<{ emscriptenOpts: { preRun: ((module: WasmModule) => void)[] } }>;
}

/** Closes the files of a PGlite that has ended, or has not begun: nothing else does, and there may be many attempts. */
function closeFiles(fs: FileSystem): void {
  fs.closeFs().catch(() => {}); // it had none yet
}

/** Lets PostgreSQL's fsync reach the disk: PGlite's file system has none. */
function addFsync(fs: FileSystem): void {
  const { init } = fs;
  fs.init = async (...parameters) => {
    const result = await init.apply(fs, parameters);
    result.emscriptenOpts.preRun.push(({ NODEFS, FS }) => {
      const files = (NODEFS ?? FS.filesystems?.NODEFS) as NodeFiles;
      files.stream_ops.fsync = ({ nfd, node }) => {
        if (typeof nfd === "number") fsyncSync(nfd);
        else sync(files.realPath(node));
        return 0;
      };
    });
    return result;
  };
}

function syncFolder(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) syncFolder(join(folder, entry.name));
    else if (entry.isFile()) sync(join(folder, entry.name));
  }
  sync(folder);
}

function sync(path: string): void {
  const file = openSync(path, process.platform === "win32" ? "r+" : "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The parts of the packages that are used here. */
interface Loaded {
  readonly PGlite: {
    readonly defaultStartParams: readonly string[];
    create(options: object): Promise<Pglite>;
  };
  readonly NodeFS: new (folder: string) => FileSystem;
}

/** @throws CheckpointError `INVALID_CONFIG` if the package is not installed */
async function loadPackage(): Promise<Loaded> {
  const name = "@electric-sql/pglite";
  try {
    const [{ PGlite }, { NodeFS }] = await Promise.all([importModule(name), importModule(`${name}/nodefs`)]);
    return { PGlite, NodeFS } as Loaded;
  } catch (error) {
    const isMissing = property(error, "code") === "ERR_MODULE_NOT_FOUND";
    const what = isMissing ? `is not installed: npm install ${name}` : "cannot be loaded";
    const cause = withoutValues(keepWords(error));
    throw new CheckpointError("INVALID_CONFIG", `open database: the package ${name} ${what}`, { cause });
  }
}

/** Modules of extensions, by their names in `create extension`: the first that is installed counts. PGlite 0.5 has pgvector in a package of its own. */
const EXTENSIONS = {
  vector: ["@electric-sql/pglite-pgvector", "@electric-sql/pglite/vector"],
  fuzzystrmatch: ["@electric-sql/pglite/contrib/fuzzystrmatch"],
} as const;

/** Loads the extensions that are installed, so that the database may create them. */
async function loadExtensions(): Promise<Record<string, unknown>> {
  const extensions: Record<string, unknown> = {};
  for (const [name, modules] of Object.entries(EXTENSIONS)) {
    for (const module of modules) {
      const loaded = await importModule(module).catch(() => null); // not installed
      const extension = loaded?.[name];
      if (extension !== undefined) {
        extensions[name] = extension;
        break;
      }
    }
  }
  return extensions;
}

/** Imports a package that most users do not have: bundlers leave it alone. */
export async function importModule(name: string): Promise<Record<string, unknown>> {
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
}

/** Creates a folder, and those above it, if it is missing. Returns its real path. */
function createFolder(path: string): string {
  try {
    createFolders(path);
    return realpathSync(path);
  } catch (error) {
    throw keepWords(error);
  }
}

/** One by one: Node's recursive `mkdir` never returns where a folder cannot be made though its parent is there, as in /proc. */
function createFolders(path: string): void {
  if (existsSync(path)) return;
  createFolders(dirname(path));
  try {
    mkdirSync(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (property(error, "code") !== "EEXIST") throw error; // another process was faster
  }
}
