/** Where the index thread finds what it needs of Node. */
export const indexerPlatform = new URL('./indexer-platform.ts', import.meta.url).href;
