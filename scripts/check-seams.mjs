// Finds what crosses the seams of seams.mjs: `node scripts/check-seams.mjs`, a part of `npm run check`.

import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "oxc-parser";
import { IMPORTS, WORDS } from "./seams.mjs";

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const packages = fileURLToPath(new URL("../packages", import.meta.url));
  const found = sources(packages).flatMap((path) => violations(path, readFileSync(join(packages, path), "utf8")));
  for (const violation of found) console.error(violation);
  process.exitCode = found.length > 0 ? 1 : 0;
}

function sources(packages) {
  return readdirSync(packages, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(packages, join(entry.parentPath ?? entry.path, entry.name)).replaceAll(sep, "/"))
    .filter((path) => /^[^/]+\/src\//.test(path))
    .sort();
}

/** What a file does that it must not, each as a line with its place. `path` begins below packages/. */
export function violations(path, code) {
  const { program, errors } = parseSync(path, code);
  if (errors.length > 0) return [`packages/${path}: ${errors[0].message}`];

  const found = [];
  const report = (node, message) => {
    const line = code.slice(0, node.start).split("\n").length;
    found.push(`packages/${path}:${line}: ${message}`);
  };
  const row = IMPORTS.find(({ module }) => matches(module, path));
  if (!row) report(program, "no row of the imports in scripts/seams.mjs covers this module");
  const words = WORDS.filter(({ allowedIn }) => !allowedIn.some((pattern) => matches(pattern, path)));

  walk(program, (node) => {
    const imported = row && importOf(node);
    if (imported && !mayImport(row, path, imported)) {
      const what = imported.typeOnly ? "the types of" : "";
      report(node, `must not import ${[what, imported.from].filter(Boolean).join(" ")}`);
    }
    for (const word of words) if (uses(node, word)) report(node, `must not use ${word.what}`);
  });
  return found;
}

function walk(node, visit) {
  visit(node);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child?.type === "string") walk(child, visit);
    }
  }
}

/** What a node imports, if it does: by `import`, `export … from`, `import()`, or `import("…")` as a type. */
function importOf(node) {
  switch (node.type) {
    case "ImportDeclaration":
      return { from: node.source.value, typeOnly: isTypeOnly(node.importKind, node.specifiers, "importKind") };
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
      return (
        node.source && { from: node.source.value, typeOnly: isTypeOnly(node.exportKind, node.specifiers, "exportKind") }
      );
    case "ImportExpression":
      // A name that is not known before run time is the business of whoever may load at all.
      return node.source.type === "Literal" ? { from: node.source.value, typeOnly: false } : undefined;
    case "TSImportType":
      return { from: node.source?.value ?? node.argument?.literal?.value, typeOnly: true };
    default:
      return undefined;
  }
}

function isTypeOnly(kind, specifiers, key) {
  return kind === "type" || (specifiers?.length > 0 && specifiers.every((specifier) => specifier[key] === "type"));
}

function mayImport({ may }, path, { from, typeOnly }) {
  const target = from.startsWith(".") ? posix.join(posix.dirname(path), from) : from;
  return may.some((pattern) => {
    const types = pattern.startsWith("type:");
    return (!types || typeOnly) && matches(types ? pattern.slice("type:".length) : pattern, target);
  });
}

function uses(node, { mentions, member, node: type, constructed }) {
  if (mentions) return textOf(node).some((text) => mentions.test(text));
  if (type) return node.type === type;
  if (constructed) {
    const calls = node.type === "NewExpression" || node.type === "CallExpression";
    return calls && node.callee.type === "Identifier" && node.callee.name === constructed;
  }
  if (node.type !== "MemberExpression" || node.object.type !== "Identifier") return false;
  const [object, property] = member.split(".");
  if (node.object.name !== object) return false;
  return property === "*" || (node.computed ? node.property.value : node.property.name) === property;
}

function textOf(node) {
  if (node.type === "Identifier") return [node.name];
  if (node.type === "Literal") return [String(node.value)];
  if (node.type === "TemplateElement") return [node.value.raw];
  return [];
}

function matches(pattern, path) {
  const source = pattern
    .replaceAll(/[.+^$()|[\]\\]/g, "\\$&")
    .replaceAll(/\{([^}]*)\}/g, (_, list) => `(?:${list.replaceAll(",", "|")})`)
    .replaceAll(/\*\*?/g, (stars) => (stars === "**" ? ".*" : "[^/]*"));
  return new RegExp(`^${source}$`).test(path);
}
