import { configDefaults, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// LangGraph's suite on a main with a backup is for `npm run test:all`: on one database it runs in `validation.test.ts`.
const leftOut = process.env["WAYMARK_TEST_ALL"] ? [] : ["test/validation-replicated.test.ts"];

// `globals`: LangGraph's validation suite takes `describe`, `it` and `expect` from there.
export default mergeConfig(project({ servers: ["postgres", "mysql", "mariadb"], sqlite: true }), {
  test: { globals: true, exclude: [...configDefaults.exclude, ...leftOut] },
});
