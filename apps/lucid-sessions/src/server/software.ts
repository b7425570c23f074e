export const software = { name: 'lucid-sessions', version: '0.1.0' } as const;
