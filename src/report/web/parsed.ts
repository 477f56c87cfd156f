/** What JSON makes of a type: a number may be null, because NaN becomes null. */
export type Parsed<T> = T extends number ? T | null : T extends object ? { [K in keyof T]: Parsed<T[K]> } : T;
