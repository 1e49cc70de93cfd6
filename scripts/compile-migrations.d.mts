export function compileMigrations(packageFolder: string): string;
