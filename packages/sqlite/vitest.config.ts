import { mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

export default mergeConfig(project(), { test: { setupFiles: ["test/keep.ts"] } });
