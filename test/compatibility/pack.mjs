// Packs the packages of a built checkout: `node pack.mjs CHECKOUT FILE.tgz`. The archive has their JavaScript and a package.json
// each, which is all that a process needs.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [checkout, archive] = process.argv.slice(2);
if (checkout === undefined || archive === undefined) {
  console.error(
    "Expected a checkout and the name of an archive, as in `node pack.mjs /tmp/checkout v793ce5e/packages.tgz`.",
  );
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "waymark-pack-"));
try {
  for (const name of ["core", "sqlite", "postgres", "mysql"]) {
    const from = join(checkout, "packages", name);
    const to = join(folder, "node_modules/@waymark", name);
    mkdirSync(to, { recursive: true });
    cpSync(join(from, "dist"), join(to, "dist"), { recursive: true, filter: isNeeded });
    const {
      name: title,
      version,
      license,
      type,
      exports,
    } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
    writeFileSync(
      join(to, "package.json"),
      `${JSON.stringify({ name: title, version, license, type, exports }, null, 2)}\n`,
    );
  }
  // With these options, the same files give the same bytes.
  const same = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go=rX,u+rw", "--mtime=@0"];
  const tar = execFileSync("tar", [...same, "-cf", "-", "-C", folder, "node_modules"], { maxBuffer: 1 << 28 });
  writeFileSync(archive, execFileSync("gzip", ["-9n"], { input: tar, maxBuffer: 1 << 28 }));
} finally {
  rmSync(folder, { recursive: true });
}

/** @param {string} path */
function isNeeded(path) {
  return !/\.(d\.ts|map)$/.test(path);
}
