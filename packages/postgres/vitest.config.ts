import { project } from "../../vitest.project.ts";

// The seam on PGlite is left to `npm run test:all`: the statements are PostgreSQL's, and storages on PGlite are tested.
export default project({ servers: ["postgres", "postgres-vector"], onlyInAll: ["test/dialect-pglite.test.ts"] });
