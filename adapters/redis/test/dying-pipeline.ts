/** A pipeline that dies of the first wake-up it takes. Argument: the address of Redis. */
import { connectRedis, parseRedisUrl, RedisJobWaker } from '../src/index.ts';

const address = parseRedisUrl(process.argv[2] ?? '');
const redis = connectRedis(address);
const waiting = connectRedis(address, { waits: true });
const waker = new RedisJobWaker({ redis, waiting, installation: 'one', say: () => {} });
waker.listen(async () => {
  process.kill(process.pid, 'SIGKILL');
});
