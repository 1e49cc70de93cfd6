// To be imported before ElizaOS, which reads this then: it logs each migration, and each call that fails.
process.env.LOG_LEVEL ??= "fatal";
