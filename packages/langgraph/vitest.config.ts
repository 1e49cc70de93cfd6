import { mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// `globals`: LangGraph's validation suite takes `describe`, `it` and `expect` from there.
export default mergeConfig(project({ servers: ["postgres", "mysql", "mariadb"], sqlite: true }), {
  test: { globals: true },
});
