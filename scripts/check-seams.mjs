// Finds imports and words that seams.mjs forbids, circles of files, and files that import another package's inner files:
// `node scripts/check-seams.mjs`, a part of `npm run check`.

import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "oxc-parser";
import { IMPORTS, WORDS } from "./seams.mjs";

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const files = new Map(
    ["packages", "examples", "test", "benchmarks", "scripts"]
      .flatMap((folder) => modules(join(root, folder)).map((path) => `${folder}/${path}`))
      .map((path) => [path, readFileSync(join(root, path), "utf8")]),
  );
  const found = [...files].flatMap(([path, code]) => {
    const source = /^packages\/([^/]+\/src\/.*)$/.exec(path)?.[1];
    return [...(source === undefined ? [] : violations(source, code)), ...innerImports(path, code)];
  });
  found.push(...circles(files));
  for (const violation of found) console.error(violation);
  process.exitCode = found.length > 0 ? 1 : 0;
}

/** Lists the modules below a folder, in TypeScript and JavaScript, except for builds and installed packages. */
export function modules(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      if (entry.isDirectory()) {
        if (entry.name === "node_modules" || entry.name === "dist") return [];
        return modules(join(folder, entry.name)).map((path) => `${entry.name}/${path}`);
      }
      return /\.(ts|mts|mjs)$/.test(entry.name) ? [entry.name] : [];
    })
    .sort();
}

/**
 * Lists the imports of a file that name a file of another package by its path. A package must be imported by its name, so that
 * no other package depends on its inner files or its tests. `path` begins at the root.
 */
export function innerImports(path, code) {
  const own = path
    .split("/")
    .slice(0, /^(benchmarks|scripts)\//.test(path) ? 1 : 2)
    .join("/");
  const outside = relativeImports(path, code).filter(
    (to) => !to.startsWith(`${own}/`) && to !== "vitest.project.ts" && !to.startsWith("scripts/"),
  );
  return outside.map((to) => `${path}: must not import ${to}, an inner file of another package`);
}

/**
 * Lists the circles of files that import each other, types included: each as its files, in the order of the imports. `files`:
 * code by path. Paths begin at the root.
 */
export function circles(files) {
  const imports = new Map(
    [...files].map(([path, code]) => [path, relativeImports(path, code).filter((to) => files.has(to))]),
  );
  const found = [];
  const done = new Set();
  const visit = (path, trail) => {
    const at = trail.indexOf(path);
    if (at >= 0) found.push(trail.slice(at));
    if (at >= 0 || done.has(path)) return;
    for (const to of imports.get(path)) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of files.keys()) visit(path, []);
  return found.map((circle) => `${circle[0]}: a circle of imports: ${[...circle, circle[0]].join(" → ")}`);
}

function relativeImports(path, code) {
  const { program, comments } = parseSync(path, code);
  // JavaScript imports its types in comments.
  const found = comments.flatMap(({ value }) => [...value.matchAll(/\bimport\("([^"]+)"\)/g)].map(([, from]) => from));
  walk(program, (node) => found.push(importOf(node)?.from));
  return found.filter((from) => from?.startsWith(".")).map((from) => posix.join(posix.dirname(path), from));
}

/** Lists the imports and words of a file that seams.mjs forbids, each with its line. `path` begins below packages/. */
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

/** Returns the module that a node imports, if any: by `import`, `export … from`, `import()`, or `import("…")` as a type. */
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
      return importedBy(node.source);
    case "TSExternalModuleReference":
      return importedBy(node.expression);
    case "TSImportType":
      return { from: node.source?.value ?? node.argument?.literal?.value, typeOnly: true };
    default:
      return undefined;
  }
}

/** Reads the module's name, a text or a template without expressions. One that is computed at run time is not checked. */
function importedBy(node) {
  const isTemplate = node.type === "TemplateLiteral" && node.expressions.length === 0;
  if (isTemplate) return { from: node.quasis[0].value.cooked, typeOnly: false };
  return node.type === "Literal" ? { from: node.value, typeOnly: false } : undefined;
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

function uses(node, { mentions, member, method, node: type, constructed }) {
  if (mentions) return textOf(node).some((text) => mentions.test(text));
  if (type) return node.type === type;
  if (constructed) {
    const calls = node.type === "NewExpression" || node.type === "CallExpression";
    return calls && node.callee.type === "Identifier" && node.callee.name === constructed;
  }
  if (method) return node.type === "MemberExpression" && node.property.name === method;
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
