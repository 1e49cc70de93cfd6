import { mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// LangGraph's suite on a main with a backup is left to `npm run test:all`: on one database it runs in `validation.test.ts`.
const onlyInAll = ["test/validation-replicated.test.ts"];

// `globals`: LangGraph's validation suite takes `describe`, `it` and `expect` from there.
export default mergeConfig(project({ servers: ["postgres", "mysql", "mariadb"], sqlite: true, onlyInAll }), {
  test: { globals: true },
});
