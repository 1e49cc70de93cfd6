import { expect, it, onTestFinished, vi } from "vitest";
import { resolveOptions } from "../src/options.ts";

const resolve = (url: string, options: object = {}) => resolveOptions({ connectionString: url, ...options });

const UNVERIFIED = { rejectUnauthorized: false, verifyIdentity: false };
const VERIFIED = { rejectUnauthorized: true, verifyIdentity: false };
const OF_THE_HOST = { rejectUnauthorized: true, verifyIdentity: true };

it.each<[string, object | null | string]>([
  ["ssl-mode=REQUIRED", UNVERIFIED],
  ["ssl_mode=VERIFY_CA", VERIFIED],
  ["sslMode=VERIFY_IDENTITY", OF_THE_HOST],
  ["sslmode=disable", null],
  ["ssl-mode=PREFERRED", null],
  ["sslaccept=strict", OF_THE_HOST],
  ["sslaccept=accept_invalid_certs", UNVERIFIED],
  ["useSSL=true", UNVERIFIED],
  ["useSSL=true&verifyServerCertificate=true", VERIFIED],
  ["useSSL=false", null],
  ["tls=skip-verify", UNVERIFIED],
  // as mysql2 has them
  ["ssl=true", VERIFIED],
  ["ssl=%7B%22rejectUnauthorized%22%3Atrue%7D", { rejectUnauthorized: true }],
  ["ssl={}", {}],
  ["ssl=Amazon%20RDS", "Amazon RDS"],
])("asks for TLS by %s", (query, tls) => {
  const emitWarning = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  onTestFinished(() => emitWarning.mockRestore());
  expect(resolve(`mysql://u:p@h/d?${query}`).server?.tls).toEqual(tls);
});

it.each<[string, object]>([
  [
    "mysql://u:p%40@[::1]:3307/my%20d",
    { server: { address: { host: "::1", port: 3307 }, password: "p@", database: "my d" } },
  ],
  ["mysql://u:p@ss@h/d", { server: { password: "p@ss" } }],
  ["mysql://root@%2Fcloudsql%2Fp%3Ar%3Ai/d", { server: { address: { host: "/cloudsql/p:r:i" } } }],
  ["mysql://root@localhost/d?host=/cloudsql/p:r:i", { server: { address: { host: "/cloudsql/p:r:i" } } }],
  ["mysql://root@localhost/d?socketPath=/run/m.sock", { server: { address: { host: "/run/m.sock" } } }],
  ["mysql://root@localhost/d?unix_socket=/run/m.sock", { server: { address: { host: "/run/m.sock" } } }],
  [
    "mariadb://h/d?charset=utf8mb4&timezone=%2B02:00&flags=-FOUND_ROWS",
    {
      server: { isMariaDb: true, driverOptions: { charset: "utf8mb4", timezone: "+02:00", flags: "-FOUND_ROWS" } },
    },
  ],
  ["mysql://h/d?connection_limit=3&connect_timeout=7", { poolSize: 3, connectTimeoutMs: 7_000 }],
  ["mysql://h/d?connectionLimit=3&connectTimeout=700", { poolSize: 3, connectTimeoutMs: 700 }],
])("takes the URL %s", (url, options) => {
  expect(resolve(url)).toMatchObject(options);
});

it.each([
  ["/d?ssl-mode=hunter2", "the parameter ssl-mode of options.connectionString to be disabled"],
  ["/d?timezone=hunter2", "the parameter timezone of options.connectionString to be local, Z or"],
  ["/d?ssl-ca=/hunter2.pem", "a file that can be read (ENOENT)"],
  ["/d?sslmoed=1", "the parameter sslmoed of options.connectionString is unknown: did you mean ssl-mode?"],
  ["/d?sslidentity=x", "the parameter sslidentity of options.connectionString: it is not supported"],
  ["", "to name a database"],
  [",h2/d", "to have one host, got 2"],
])("says what is wrong with %s", (end, message) => {
  const refuse = () => resolve(`mysql://u:hunter2@h${end}`);
  expect(refuse).toThrow(
    expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
  );
  expect(refuse).toThrow(expect.objectContaining({ message: expect.not.stringContaining("hunter2") }));
});
