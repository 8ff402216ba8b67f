export async function measureMemory(): Promise<void> {}
