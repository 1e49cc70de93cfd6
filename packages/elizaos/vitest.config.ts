import { project } from "../../vitest.project.ts";

export default project({ servers: ["postgres", "postgres-vector", "mysql", "mariadb"], sqlite: true });
