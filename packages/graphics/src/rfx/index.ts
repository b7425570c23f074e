export { RemoteFxDecoder } from './remote-fx-decoder.ts';
