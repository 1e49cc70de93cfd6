import { expect, it, onTestFinished, vi } from "vitest";
import { resolveOptions } from "../src/options.ts";

const resolve = (url: string, options: object = {}) => resolveOptions({ connectionString: url, ...options });

it.each<[string, object]>([
  // Neon, Supabase, Prisma, Vercel, Cloud SQL
  ["postgresql://u:p@ep-x-pooler.eu.aws.neon.tech/d?sslmode=require&channel_binding=require", {}],
  [
    "postgres://postgres.ref:p@aws-0.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
    { poolSize: 1 },
  ],
  [
    "postgresql://u:p@h:5432/d?schema=app&connect_timeout=15&pool_timeout=0",
    { schema: "app", connectTimeoutMs: 15_000 },
  ],
  ["postgres://u:p@h/d?sslmode=require&supa=base-pooler.x", {}],
  ["postgres://u:p@/d?host=/cloudsql/p:r:i", { server: { addresses: [{ host: "/cloudsql/p:r:i" }] } }],
  ["postgres://u:p@h/d?gssencmode=disable&target_session_attrs=any", { server: { targetSession: null, tls: null } }],
  ["postgres://h/d?target_session_attrs=read-write", { server: { targetSession: "read-write" } }],
  ["postgres://h/d?ssl=true", { server: { tls: { verifies: "chain and host" } } }],
  [
    "postgres://h/d?sslmode=no-verify&uselibpqcompat=true",
    { server: { tls: { verifies: "nothing", isOptional: false } } },
  ],
  ["postgres://h/d?options=endpoint%3Dep-x", { server: { serverSettings: { options: "endpoint=ep-x" } } }],
  [
    "postgres://h/d?ApplicationName=a&search_path=b",
    { server: { serverSettings: { application_name: "a", search_path: "b" } } },
  ],
  [
    "postgres://h/d?max=7&idle_timeout=3&max_lifetime=60",
    { poolSize: 7, idleTimeoutMs: 3_000, server: { driverOptions: { max_lifetime: 60 } } },
  ],
])("takes the URL %s", (url, options) => {
  const emitWarning = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  onTestFinished(() => emitWarning.mockRestore());
  expect(resolve(url)).toMatchObject(options);
});

it("warns of a parameter that has no effect", () => {
  const emitWarning = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  onTestFinished(() => emitWarning.mockRestore());
  resolve("postgres://h/d?socket_timeout=5");
  const [message] = emitWarning.mock.calls[0] ?? [];
  expect(message).toBe(
    "the parameter socket_timeout of options.connectionString has no effect: the option operationTimeoutMs limits a call",
  );
});

it("prefers options to parameters of the URL", () => {
  const options = { schema: "mine", poolSize: 3, prepare: true };
  expect(resolve("postgres://h/d?schema=other&connection_limit=9&pgbouncer=true", options)).toMatchObject(options);
});

it("takes what the URL leaves out from libpq's variables", () => {
  onTestFinished(() => void vi.unstubAllEnvs());
  for (const [name, value] of Object.entries({ PGHOST: "h", PGPORT: "7", PGPASSWORD: "p", PGSSLMODE: "require" })) {
    vi.stubEnv(name, value);
  }
  expect(resolve("postgres://u@/d").server).toMatchObject({
    addresses: [{ host: "h", port: 7 }],
    password: "p",
    tls: { verifies: "nothing" },
  });
  expect(resolve("postgres://u@h2:8/d?sslmode=disable").server).toMatchObject({
    addresses: [{ host: "h2", port: 8 }],
    tls: null,
  });
  vi.stubEnv("PGSSLMODE", "hunter2");
  expect(() => resolve("postgres://u@/d")).toThrow("expected the variable PGSSLMODE to be disable, allow, prefer");
});

it.each([
  ["sslmode=hunter2", "the parameter sslmode of options.connectionString to be disable, allow, prefer, require"],
  [
    "sslrootcert=/hunter2.pem",
    "the parameter sslrootcert of options.connectionString to be the path of a file that can be read (ENOENT)",
  ],
  ["sslcert=/dev/null", "the client's certificate and its key, or neither"],
  [
    "target_session_attrs=hunter2",
    "the parameter target_session_attrs of options.connectionString to be any, read-write",
  ],
  [
    "connection_limit=hunter2",
    "the parameter connection_limit of options.connectionString to be a whole number from 1",
  ],
  ["client_encoding=hunter2", "the parameter client_encoding"],
  ["gssencmode=require", "the parameter gssencmode"],
  ["require_auth=hunter2", "the parameter require_auth of options.connectionString: it is not supported"],
  ["shcema=hunter2", "the parameter shcema of options.connectionString is unknown: did you mean schema?"],
  [
    "enable_seqscan=hunter2",
    "the parameter enable_seqscan of options.connectionString is unknown: known are host, port",
  ],
  ["sslnegotiation=direct", "sslmode=require or more beside sslnegotiation=direct"],
  ["host=/tmp,h", "one Unix socket, or hosts, got both"],
])("names the parameter that it refuses: %s", (query, message) => {
  const refuse = () => resolve(`postgres://u:hunter2@h/d?${query}`);
  expect(refuse).toThrow(
    expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
  );
  expect(refuse).toThrow(expect.objectContaining({ message: expect.not.stringContaining("hunter2") }));
});

it("refuses certificates that are none, before they are used", () => {
  const refuse = () => resolve("postgres://h/d", { ssl: { cert: "hunter2" } });
  expect(refuse).toThrow(/^expected options\.ssl to be certificates and keys that node:tls can read/);
});
