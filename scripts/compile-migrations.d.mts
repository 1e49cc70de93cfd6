export function compileMigrations(packageFolder: string, folder?: string): string;
