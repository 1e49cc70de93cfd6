import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { CheckpointError, property } from "../contract/errors.ts";
import { invalidParameter, oneOfWords, type UrlParameter } from "./url.ts";

/** TLS of a connection, as URLs describe it: with libpq's meanings, whatever the words of a dialect are. */

/**
 * - `disable`: no TLS.
 * - `prefer`: TLS if the server has it; the certificate is not verified.
 * - `require`: TLS; the certificate is verified if there is a root certificate to do it with.
 * - `verify-ca`: the certificate is signed by the root certificate, or by an authority that Node knows.
 * - `verify-full`: and it is for this host.
 */
export type TlsMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full";

/** Options of `node:tls` that URLs give: content of files, and the like. Not its own type: users may lack Node's types. */
export interface TlsOptions {
  ca?: string;
  cert?: string;
  key?: string;
  crl?: string;
  passphrase?: string;
  ciphers?: string;
  minVersion?: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
  maxVersion?: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
}

/** The parameters of a URL that are about TLS. */
export interface TlsSettings {
  mode: TlsMode | null;
  /** `system` in place of the file: certificates of the authorities that Node knows, and nothing less than `verify-full`. */
  system: boolean;
  readonly options: TlsOptions;
}

type TlsRule = (value: string, settings: { readonly tls: TlsSettings }, parameter: UrlParameter) => undefined;

/** What a connection is to do about TLS. */
export interface TlsPlan {
  /** Whether to go on without, if the server has none. */
  readonly isOptional: boolean;
  /** How much of the server's certificate is verified. */
  readonly verifies: "nothing" | "chain" | "chain and host";
  readonly options: TlsOptions;
}

export function newTlsSettings(): TlsSettings {
  return { mode: null, system: false, options: {} };
}

/** Makes the rule of a parameter whose value is one of these words. Case, `-` and `_` in it do not matter. */
export function tlsModeRule(words: Readonly<Record<string, TlsMode>>): TlsRule {
  const byWord = new Map(Object.entries(words).map(([word, mode]) => [word.replaceAll("-", ""), mode]));
  return (value, { tls }, parameter) => {
    const mode = byWord.get(value.toLowerCase().replace(/[-_]/g, ""));
    if (mode === undefined) throw invalidParameter(parameter, Object.keys(words).join(", "));
    tls.mode = mode;
  };
}

/** Makes the rule of a parameter that names a file with certificates or a key. */
export function tlsFileRule(option: "ca" | "cert" | "key" | "crl"): TlsRule {
  return (value, { tls }, parameter) => {
    if (option === "ca" && value === "system") {
      tls.system = true;
      return;
    }
    try {
      tls.options[option] = readFileSync(value, "utf8");
    } catch (error) {
      const code = property(error, "code");
      throw invalidParameter(
        parameter,
        `the path of a file that can be read (${typeof code === "string" ? code : "?"})`,
      );
    }
  };
}

/** Rules of the parameters about TLS that mean the same to all dialects. */
export const TLS_RULES: Readonly<Record<"sslpassword" | "sslaccept", TlsRule>> = {
  sslpassword(value, { tls }) {
    tls.options.passphrase = value;
  },
  // Prisma
  sslaccept(_, { tls }, parameter) {
    const isStrict = oneOfWords(parameter, ["strict", "accept_invalid_certs"]) === "strict";
    tls.mode = isStrict ? "verify-full" : "require";
  },
};

/**
 * Decides what the settings come to; `null`: no TLS. A root certificate or a client's asks for TLS by itself.
 * @throws CheckpointError `INVALID_ARGUMENT` for files that are no certificates, or do not belong together
 */
export function planTls(field: string, { mode, system, options }: TlsSettings): TlsPlan | null {
  const hasRoot = options.ca !== undefined;
  const chosen = mode ?? (hasRoot || options.cert !== undefined ? "require" : null);
  if (mode === "disable" || (chosen === null && !system)) return null;
  if ((options.cert === undefined) !== (options.key === undefined)) {
    const both =
      "the client's certificate and its key, or neither (the server's root certificate is another parameter)";
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have ${both}`);
  }
  checkTlsOptions(`the TLS files of ${field}`, options);
  const isFull = system || chosen === "verify-full";
  const verifiesChain = chosen === "verify-ca" || hasRoot;
  return {
    isOptional: chosen === "prefer" && !hasRoot && !system,
    verifies: isFull ? "chain and host" : verifiesChain ? "chain" : "nothing",
    options,
  };
}

/** Checks certificates and keys. Drivers read them when they connect, and throw where nobody can catch it. */
export function checkTlsOptions(field: string, options: object): void {
  try {
    createSecureContext(options);
  } catch (error) {
    const code = property(error, "code");
    const reason = typeof code === "string" && /^\w{1,64}$/.test(code) ? ` (${code})` : "";
    const expected = `certificates and keys that node:tls can read, and that belong together${reason}`;
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}`);
  }
}
