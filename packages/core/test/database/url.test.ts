import { describe, expect, test, vi } from "vitest";
import { planTls } from "../../src/database/tls.ts";
import { applyUrlParameters, locationOf, parseDatabaseUrl, type UrlRules } from "../../src/database/url.ts";

const parse = (url: unknown) => parseDatabaseUrl("options.url", url, ["db", "dbs"]);
const parts = (url: string) => {
  const { addresses, user, password, database } = parse(url);
  const hosts = addresses.map(({ host, port }) => (port === null ? host : `${host} ${port}`)).join(" | ");
  return [user, password, hosts, database];
};

describe("a URL", () => {
  test.each<[string, (string | null)[]]>([
    ["db://u:p@h:5432/d", ["u", "p", "h 5432", "d"]],
    ["DBS://h", [null, null, "h", null]],
    ["db://", [null, null, "", null]],
    ["db:///d\n", [null, null, "", "d"]],
    ["db://u@h/d?x=1", ["u", null, "h", "d"]],
    ["db://u%40x:p%3A%2F%23%25@h/my%20d%2Fb", ["u@x", "p:/#%", "h", "my d/b"]],
    ["db://u:p@ss:w@h/d", ["u", "p@ss:w", "h", "d"]],
    ["db://u@[::1]:5433/d", ["u", null, "::1 5433", "d"]],
    ["db://u@[fe80::1%eth0]/d", ["u", null, "fe80::1%eth0", "d"]],
    ["db://a:1,b,[::2]:3/d", [null, null, "a 1 | b | ::2 3", "d"]],
    ["db://u@%2Fcloudsql%2Fp%3Ar%3Ai/d", ["u", null, "/cloudsql/p:r:i", "d"]],
    ["db://u@%2Ftmp:5433/d", ["u", null, "/tmp 5433", "d"]],
    ["db://u@localhost:7/d?host=/cloudsql/p:r:i", ["u", null, "/cloudsql/p:r:i 7", "d"]],
    ["db://u:p@/d?host=h1,h2&port=1,2", ["u", "p", "h1 1 | h2 2", "d"]],
    ["db:///?user=a%40b&password=p%26+q&dbname=d&host=::1", ["a@b", "p& q", "::1", "d"]],
    ["db://h/d?port=7", [null, null, "h 7", "d"]],
  ])("has parts: %s", (url, expected) => {
    expect(parts(url)).toEqual(expected);
  });

  test("has the defaults for what it leaves out", () => {
    const defaults = Object.entries({
      host: "h",
      port: "7",
      user: "u",
      password: "p",
      dbname: "d",
      "tls-mode": "x",
    }).map(([name, value]) => ({ name, value, field: `the variable ${name}` }));
    const parseOn = (url: string) => parseDatabaseUrl("options.url", url, ["db"], defaults);
    expect(parseOn("db://")).toMatchObject({
      addresses: [{ host: "h", port: 7 }],
      user: "u",
      password: "p",
      database: "d",
      parameters: [{ name: "tls-mode", value: "x", field: "the variable tls-mode" }],
    });
    expect(parseOn("db://a:b@c:1/e?tlsMode=y")).toMatchObject({
      addresses: [{ host: "c", port: 1 }],
      user: "a",
      password: "b",
      database: "e",
      parameters: [{ name: "tlsMode", value: "y", field: "the parameter tlsMode of options.url" }],
    });
  });

  test.each<[unknown, string]>([
    [undefined, "a URL that starts with db:// or dbs://, got undefined"],
    ["other://u:hunter2@h/d", "a URL that starts with db:// or dbs://"],
    ["db:u:hunter2@h/d", "a URL that starts with db:// or dbs://"],
    ["db://u:hun/ter2@h/d", "no @ after the host (is the password URL-encoded?"],
    ["db://u:hun?ter2@h/d", "is the password URL-encoded?"],
    ["db://u:1?hunter2=x@h/d", "is the password URL-encoded?"],
    ["db://u:x@y?hunter2=@h/d", "is the password URL-encoded?"],
    ["db://u:hun#ter2@h/d", "is the password URL-encoded?"],
    ["db://u:p@h/d#hunter2", "no # (is the password URL-encoded?"],
    ["db://u:hunter2%@h/d", "the password URL-encoded (a % is %25)"],
    ["db://u%zz:hunter2@h/d", "the user URL-encoded"],
    ["db://h/hunter2%", "the database URL-encoded"],
    ["db://h/hunter2/d", "one / after the host"],
    ["db://u:p@hunter2:canary/d", "a host, host:port or [IPv6]:port"],
    ["db://u:p@h:99999/d", "a port from 1 to 65535"],
    ["db://u:p@[::1/d", "a host, host:port or [IPv6]:port"],
    ["db://u:p@::1/d", "a host, host:port or [IPv6]:port"],
    ["db://u:p@hunter2 canary/d", "a host, host:port or [IPv6]:port"],
    ["db://h/d?hunter2!", "parameters of the form name=value"],
    ["db://a,b,c/d?port=1,2", "one port for all hosts, or one for each"],
  ])("is refused with the reason, and not shown: %#", (url, reason) => {
    const refused = expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(reason) });
    expect(() => parse(url)).toThrow(refused);
    expect(() => parse(url)).toThrow(
      expect.objectContaining({ message: expect.not.stringMatching(/hunter2|canary|ter2/) }),
    );
  });
});

test.each([
  ["db://u:p@h/d?x=1", "h:5432/d"],
  ["db://u:p@one,[::1]:7/d", "one:5432,[::1]:7/d"],
  ["db://u:p@%2Frun%2Fdb/d", "/run/db/d"],
  ["db://u:p@h:7", "h:7"],
  ["db://u:p@/d?host=/run/db&port=7", "/run/db:7/d"],
])("the location of %s is %s, with no user, password or parameter", (url, location) => {
  const { addresses, database } = parse(url);
  expect(locationOf(addresses, database, 5_432)).toBe(location);
});

describe("parameters of a URL", () => {
  const rules: UrlRules<string[]> = {
    "ssl-mode": (value, seen) => void seen.push(value),
    half: () => "it is done by halves",
    quiet: "ignored",
    left: { warning: "it is left out" },
    dangerous: { unsupported: "it is not supported" },
  };
  const apply = (query: string) => {
    const seen: string[] = [];
    applyUrlParameters(parse(`db://h/d?${query}`).parameters, rules, seen);
    return seen;
  };

  test("are found whatever the case and the separators of their names, and are applied in order", () => {
    expect(apply("ssl-mode=1&sslMode=2&quiet=x&SSL_MODE=3")).toEqual(["1", "2", "3"]);
  });

  test("warn once if they have no effect", () => {
    const emitWarning = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      for (let round = 0; round < 2; round++) apply("left=1&half=2");
      expect(emitWarning.mock.calls).toEqual([
        [
          "the parameter left of options.url has no effect: it is left out",
          { type: "WaymarkWarning", code: "WAYMARK_URL_PARAMETER" },
        ],
        ["the parameter half of options.url has no effect: it is done by halves", expect.anything()],
      ]);
    } finally {
      emitWarning.mockRestore();
    }
  });

  test.each([
    ["dangerous=1", "the parameter dangerous of options.url: it is not supported"],
    ["sslmodee=1", "the parameter sslmodee of options.url is unknown: did you mean ssl-mode?"],
    [
      "other=1",
      "the parameter other of options.url is unknown: known are host, port, user, password, dbname, ssl-mode, half",
    ],
  ])("are refused by name: %s", (query, message) => {
    expect(() => apply(query)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", message }));
  });
});

test.each([
  [null, {}, null],
  ["disable", { ca: "" }, null],
  ["prefer", {}, { isOptional: true, verifies: "nothing" }],
  ["require", {}, { isOptional: false, verifies: "nothing" }],
  ["require", { ca: "" }, { isOptional: false, verifies: "chain" }],
  [null, { ca: "" }, { isOptional: false, verifies: "chain" }],
  ["prefer", { ca: "" }, { isOptional: false, verifies: "chain" }],
  ["verify-ca", {}, { isOptional: false, verifies: "chain" }],
  ["verify-full", {}, { isOptional: false, verifies: "chain and host" }],
] as const)("TLS in the mode %s with %j is as libpq has it", (mode, options, plan) => {
  const planned = planTls("options.url", { mode, system: false, options });
  if (plan === null) expect(planned).toBeNull();
  else expect(planned).toMatchObject(plan);
});
